"""What happens in a region, as events for logs and metrics. `severity` says how loudly a log tells of it.

`counted` is the counter that an event feeds where it is only counted, `labels` those of its facts that tell the
counter's series apart.
"""

from __future__ import annotations

import traceback
from typing import ClassVar

import msgspec

from proa.ports import Severity


class UnitFinished(msgspec.Struct, frozen=True):
    """A request was answered. `attempts` counts runs of the handler; `error` is the code of what went wrong."""

    route: str
    status: int
    took_s: float
    unit: str
    trace: str
    attempts: int
    replayed: bool
    error: str = ""

    @property
    def severity(self) -> Severity:
        """Plain answers are told by metrics; a log of every request is for debugging."""
        return "warning" if self.status >= 500 else "debug"


class UnitConfirmed(msgspec.Struct, frozen=True):
    """A second region had what an answer rests on, so long after it was durable here."""

    severity: ClassVar[Severity] = "debug"
    route: str
    waited_s: float


class HandlerRaised(msgspec.Struct, frozen=True):
    """A handler raised what it did not declare; the answer was a 500."""

    severity: ClassVar[Severity] = "error"
    route: str
    unit: str
    trace: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException, scope: str, unit: str, trace: str = "") -> HandlerRaised:
        """What the log is told of an exception of the author's code."""
        return cls(scope, unit, trace, traceback_of(error))


def traceback_of(error: BaseException) -> str:
    """An exception as logs have it."""
    return "".join(traceback.format_exception(error))


class RequestRefused(msgspec.Struct, frozen=True):
    """A request was refused on its way in, before its unit began."""

    severity: ClassVar[Severity] = "debug"
    route: str
    status: int
    error: str


class RuleMatched(msgspec.Struct, frozen=True):
    """A firewall rule matched a request of a client; `blocked` says whether that ended it."""

    rule: str
    route: str
    client: str
    blocked: bool


class ClientGone(msgspec.Struct, frozen=True):
    """A client broke its connection off, and what was being done for it was stopped."""

    severity: ClassVar[Severity] = "debug"
    counted: ClassVar[str] = "proa_clients_gone_total"
    labels: ClassVar[tuple[str, ...]] = ("route",)
    route: str


class CommitsApplied(msgspec.Struct, frozen=True):
    """Commits of other regions were applied durably; lags are from commit to here, in seconds."""

    severity: ClassVar[Severity] = "debug"
    peer: str
    count: int
    lags_s: list[float]


class PeerLost(msgspec.Struct, frozen=True):
    """A peer does not answer pulls any more."""

    severity: ClassVar[Severity] = "warning"
    peer: str
    detail: str


class PeerBack(msgspec.Struct, frozen=True):
    """A peer answers pulls (again)."""

    peer: str


class CommitsParked(msgspec.Struct, frozen=True):
    """Commits that came too late for their epoch were set aside; they are in the lost-write list."""

    severity: ClassVar[Severity] = "warning"
    count: int
    epoch: int


class JournalCompacted(msgspec.Struct, frozen=True):
    """A slice of old entries was dropped from the journal; what they made is in the base."""

    severity: ClassVar[Severity] = "debug"
    count: int


class SnapshotBegun(msgspec.Struct, frozen=True):
    """The peers' journals do not reach this region any more: it takes the snapshot of one of them."""

    peer: str


class SnapshotMerged(msgspec.Struct, frozen=True):
    """A peer's snapshot is merged; the journal goes on from these floors."""

    floors: dict[str, int]


class SuffixCompacted(msgspec.Struct, frozen=True):
    """Commits that a new epoch went on without are compacted here: this region serves no more (PROA-S009)."""

    severity: ClassVar[Severity] = "error"
    detail: str


class HomesTakenOver(msgspec.Struct, frozen=True):
    """The region knows all that older homes wrote, and acts for every row of mode `home` that is its own in `epoch`."""

    severity: ClassVar[Severity] = "debug"
    region: str
    epoch: int


class MergeRaised(msgspec.Struct, frozen=True):
    """An author's merge function raised; the last writer's row is shown, and both are in the conflict log.

    `key` is empty where only some regions may hold the row.
    """

    severity: ClassVar[Severity] = "error"
    table: str
    key: str
    rule: str


class CommitsIncomplete(msgspec.Struct, frozen=True):
    """Commits of an origin that was cut off came without rows that this region may hold: nobody within reach has them.

    They are asked for until somebody has them; `proa table residency` lists them.
    """

    severity: ClassVar[Severity] = "warning"
    origin: str
    up_to: int


class CommitsCompleted(msgspec.Struct, frozen=True):
    """Commits that had come incomplete are whole now."""

    count: int


class DuplicateFound(msgspec.Struct, frozen=True):
    """Two regions finished one idempotency key, each for itself; the pair is in the list of duplicates."""

    severity: ClassVar[Severity] = "warning"
    route: str
    units: tuple[str, str]
    regions: tuple[str, str]


class DuplicateDamaged(msgspec.Struct, frozen=True):
    """The record of a pair is damaged here, so the route's `on_duplicate` is not called for it in this region."""

    severity: ClassVar[Severity] = "error"
    route: str
    key: str
    other: str


class DuplicateHandled(msgspec.Struct, frozen=True):
    """The route's `on_duplicate` dealt with a doubled effect, in unit `by`."""

    route: str
    kept: str
    other: str
    by: str


class DuplicateNotHandled(msgspec.Struct, frozen=True):
    """The route's `on_duplicate` failed; it runs again after a pause."""

    severity: ClassVar[Severity] = "error"
    route: str
    other: str
    attempts: int
    error: str
    again_in_s: float
    traceback: str


class StreamFailed(msgspec.Struct, frozen=True):
    """The handler of a change stream failed; it runs again after a pause, and the stream waits with this origin."""

    severity: ClassVar[Severity] = "error"
    stream: str
    origin: str
    attempts: int
    error: str
    again_in_s: float
    traceback: str


class StreamGap(msgspec.Struct, frozen=True):
    """Changes between two sequences left the journal before a stream was told of them: what it made is incomplete."""

    severity: ClassVar[Severity] = "error"
    stream: str
    origin: str
    after: int
    floor: int


class ClockSkewSeen(msgspec.Struct, frozen=True):
    """An origin's stamps lie further ahead than the clock bound allows; its commits wait."""

    severity: ClassVar[Severity] = "warning"
    origin: str
    ahead_s: float


class CheckFailed(msgspec.Struct, frozen=True):
    """A declared health check failed often enough to count."""

    severity: ClassVar[Severity] = "warning"
    check: str
    detail: str


class CheckPassed(msgspec.Struct, frozen=True):
    """A declared health check passes again."""

    check: str


class ClockJudged(msgspec.Struct, frozen=True):
    """This region's clock left the declared bound around the global store's, or came back within it."""

    severity: ClassVar[Severity] = "warning"
    off_s: float
    within_bound: bool


class EntryTorn(msgspec.Struct, frozen=True):
    """An entry of the journal cannot be read; the region is unhealthy until a peer has given its copy."""

    severity: ClassVar[Severity] = "error"
    origin: str
    seq: int


class EntryMended(msgspec.Struct, frozen=True):
    """A peer's copy is in the place of an entry of the journal that could not be read."""

    severity: ClassVar[Severity] = "warning"
    origin: str
    seq: int
    peer: str


class RowsDiverged(msgspec.Struct, frozen=True):
    """Rows of a table differed from a peer's although both had applied the same: one of the two disks is damaged.

    `left` names the rows that could not be mended; a person must look at them, and at why it happened.
    """

    severity: ClassVar[Severity] = "error"
    peer: str
    table: str
    found: int
    mended: int
    left: list[str]


class TableRead(msgspec.Struct, frozen=True):
    """So many rows of a table whose declaration changed are read at a start; nothing is served before all are."""

    severity: ClassVar[Severity] = "info"
    table: str
    rows: int


class TablesCompared(msgspec.Struct, frozen=True):
    """A round of anti-entropy with a peer is over: rows compared, bytes exchanged, rows that differed, and mended."""

    severity: ClassVar[Severity] = "debug"
    peer: str
    rows: int
    exchanged: int
    found: int
    mended: int
    took_s: float


class MessageHandled(msgspec.Struct, frozen=True):
    """A message took effect: after a run of `took_s`, `age_s` after it was sent."""

    severity: ClassVar[Severity] = "debug"
    queue: str
    message: str
    took_s: float
    age_s: float


class MessageFailed(msgspec.Struct, frozen=True):
    """An attempt at a message failed with `error` (a code or an exception's name); it runs again in `again_in_s`."""

    severity: ClassVar[Severity] = "warning"
    counted: ClassVar[str] = "proa_messages_failed_total"
    labels: ClassVar[tuple[str, ...]] = ("queue", "error")
    queue: str
    message: str
    attempt: int
    error: str
    again_in_s: float


class MessageDead(msgspec.Struct, frozen=True):
    """A message was given up after so many attempts; `fingerprint` is alike for like errors."""

    severity: ClassVar[Severity] = "error"
    counted: ClassVar[str] = "proa_messages_dead_total"
    labels: ClassVar[tuple[str, ...]] = ("queue", "error")
    queue: str
    message: str
    attempts: int
    error: str
    said: str
    fingerprint: str


class DeadRedriven(msgspec.Struct, frozen=True):
    """Dead letters went back to their queue."""

    severity: ClassVar[Severity] = "info"
    queue: str
    count: int
    state: str


class DeadPurged(msgspec.Struct, frozen=True):
    """Dead letters were removed."""

    severity: ClassVar[Severity] = "info"
    queue: str
    count: int
    state: str


class ConsumerStopped(msgspec.Struct, frozen=True):
    """A queue's messages cannot be read or settled at the moment; they wait for a second, and are handed out again."""

    severity: ClassVar[Severity] = "error"
    queue: str
    why: str


class QueueBehind(msgspec.Struct, frozen=True):
    """A queue's figure (depth, or age_s of the first message) is over its declared bound."""

    severity: ClassVar[Severity] = "warning"
    queue: str
    region: str
    figure: str
    value: float
    bound: float


class QueueRecovered(msgspec.Struct, frozen=True):
    """It is well below its bound again."""

    severity: ClassVar[Severity] = "info"
    queue: str
    region: str
    figure: str
    value: float


class QueuePaused(msgspec.Struct, frozen=True):
    """Somebody paused a queue, or (where `why` is empty) let it go on."""

    severity: ClassVar[Severity] = "warning"
    queue: str
    by: str
    why: str


class MessageMoved(msgspec.Struct, frozen=True):
    """A message went to the region that acts as home of the rows that its handler writes."""

    severity: ClassVar[Severity] = "info"
    queue: str
    message: str
    region: str
    to: str


class MessagesFetched(msgspec.Struct, frozen=True):
    """Messages that global units left for a region came out of the global store."""

    severity: ClassVar[Severity] = "debug"
    region: str
    count: int


class MessagesAdopted(msgspec.Struct, frozen=True):
    """This region took up the messages of a region whose stand-in it is."""

    severity: ClassVar[Severity] = "warning"
    queue: str
    region: str
    count: int


class TickFired(msgspec.Struct, frozen=True):
    """The tick of a due time took effect, `late_s` after it; `of` is the region whose it is, if each has its own."""

    severity: ClassVar[Severity] = "debug"
    schedule: str
    of: str
    due: float
    took_s: float
    late_s: float
    skipped: int


class TicksSkipped(msgspec.Struct, frozen=True):
    """Ticks that were missed are passed over, as the schedule's `catch_up` says."""

    severity: ClassVar[Severity] = "warning"
    schedule: str
    of: str
    count: int


class TickFailed(msgspec.Struct, frozen=True):
    """A run of a tick failed; it runs again in `again_in_s`."""

    severity: ClassVar[Severity] = "warning"
    schedule: str
    of: str
    attempts: int
    error: str
    again_in_s: float


class TickGivenUp(msgspec.Struct, frozen=True):
    """A tick failed for good: it had no attempt left, or the next one was due."""

    severity: ClassVar[Severity] = "error"
    schedule: str
    of: str
    due: float
    attempts: int
    error: str


class SchedulesUnknown(msgspec.Struct, frozen=True):
    """The region could not learn where schedules stand that became its own; it tries again, and runs none of them."""

    severity: ClassVar[Severity] = "error"
    error: str


class EventsReplayed(msgspec.Struct, frozen=True):
    """A page of a replay of the event `name` sent so many messages to a subscription."""

    name: str
    to: str
    replay: str
    count: int


class EffectDone(msgspec.Struct, frozen=True):
    """An effect was called, in so many attempts, and its result is recorded."""

    severity: ClassVar[Severity] = "debug"
    effect: str
    key: str
    attempts: int
    took_s: float


class EffectParked(msgspec.Struct, frozen=True):
    """Whether an effect was done is unknown: its unit waits for a person (`proa effect list`)."""

    severity: ClassVar[Severity] = "error"
    effect: str
    key: str
    unit: str
    region: str
    said: str


class EffectOvertaken(msgspec.Struct, frozen=True):
    """An attempt that called an effect found that another one, or a person, had taken the call over."""

    severity: ClassVar[Severity] = "warning"
    effect: str
    key: str
    unit: str


class SagaStepFailed(msgspec.Struct, frozen=True):
    """An attempt at a step of a saga, or at its undo, failed; it runs again in `again_in_s` (None: not any more)."""

    severity: ClassVar[Severity] = "warning"
    saga: str
    id: str
    step: str
    attempt: int
    said: str
    again_in_s: float | None


class SagaEnded(msgspec.Struct, frozen=True):
    """A saga is done, or failed and has undone what it did, so long after it was started."""

    severity: ClassVar[Severity] = "info"
    saga: str
    id: str
    status: str
    error: str
    took_s: float


class SagaStuck(msgspec.Struct, frozen=True):
    """A saga waits for a person: an undo failed for good, or its code does not fit its journal (`proa saga list`)."""

    severity: ClassVar[Severity] = "error"
    saga: str
    id: str
    error: str
    said: str
