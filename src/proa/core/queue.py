"""Queues: where a message stands, when it may be handed out, and what becomes of it when its handler fails.

A message is a row of the region's store that belongs to a *home*: the region that sent it, or whose stand-in does. Its
key says the queue, the home and a *band*, then when it may be handed out first, then its id: so the rows of a band are
in the order in which they are due, in any store that sorts text. A band is a priority; in a queue of groups it is one
of a fixed number of shares of the groups, so that one group's order costs the others nothing.

What is durable is the row: it goes in the commit of the handler's writes, so a message takes effect once, however often
it is handed out. Who is handed what is a matter of memory (`core.backlog`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from proa.core.policy.retry import Retry
from proa.core.trace import kept_trace, own_trace

MESSAGES = ":messages"
"""The table of messages that wait. No declared table can have such a name."""
DEAD = ":dead"
"""The table of messages that were given up."""
OUTBOX = ":outbox"
"""The table of the global store in which messages of its units wait for the region that they go to."""
FETCHED = ":fetched"
"""The table of marks of messages that came out of the global store, by their keys there."""
SEPARATOR = "\x1f"
LAST = "~"
"""Sorts after every digit, so after every key that goes on from a prefix."""
PRIORITIES = 10
SHARES = 64
UNIT_LENGTH = 32
"""How many characters of a message's id are the unit that sent it."""
HISTORY_MAX = 20
"""How many failed attempts a message remembers; of more it keeps the first one and the latest."""
SAID_MAX = 300
"""So much of what an error says is remembered."""


SETTINGS = ":queues"
"""The table of what people have set of queues, by name."""


class Setting(msgspec.Struct, frozen=True, array_like=True):
    """A queue is `paused` for this reason (empty: it is not), by whom, since when."""

    paused: str
    by: str
    at: float


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One run that failed: when (seconds since 1970), where, with which error, in a few words, after how long."""

    at: float
    region: str
    error: str
    said: str
    took_s: float


NOTHING: dict[str, str] = {}


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message as stores keep it.

    `receives` counts how often it was handed out since it was sent, or redriven; `not_before` is when one that keeps
    its place may be handed out again. `running` names a unit that claimed it before it ran. `about` are attributes of
    an event, `unit` and `trace` those that sent it; empty where they follow from the id (`sent`), which is read by
    `sender` and `traceparent`.
    """

    id: str
    body: bytes
    sent_at: float
    unit: str
    trace: str = ""
    receives: int = 0
    not_before: float = 0.0
    running: str = ""
    redriven: int = 0
    moved: int = 0
    history: tuple[Attempt, ...] = ()
    about: dict[str, str] = {}

    @classmethod
    def sent(cls, id_: str, body: bytes, at: float, unit: str, trace: str, about: dict[str, str] = NOTHING) -> Envelope:
        """A message that a unit sends: what its id tells of that unit is not kept twice."""
        told = id_[:UNIT_LENGTH] == unit
        return cls(id_, body, at, "" if told else unit, kept_trace(unit, trace), about=about)

    @property
    def sender(self) -> str:
        """The unit that sent it."""
        return self.unit or self.id[:UNIT_LENGTH]

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` of the unit that sent it."""
        return self.trace or own_trace(self.sender)


class Spot(msgspec.Struct, frozen=True):
    """Where a message stands: what its key says."""

    queue: str
    home: str
    band: str
    due_ms: int
    id: str
    group: str = ""

    @property
    def key(self) -> str:
        """The key of its row."""
        return SEPARATOR.join((self.queue, self.home, self.band, digits(self.due_ms), self.id, self.group))

    def later(self, at: float) -> Spot:
        """The same message's next place: due at a time, and never under the key that it leaves."""
        return msgspec.structs.replace(self, due_ms=max(milliseconds(at), self.due_ms + 1))


def spot(key: str) -> Spot:
    """What a message's key says."""
    queue, home, band, due_ms, id_, group = key.split(SEPARATOR)
    return Spot(queue, home, band, int(due_ms), id_, group)


def key_at(queue: str, home: str, priority: int, at: float, id_: str, group: str = "") -> str:
    """The key of a message that is sent, to be handed out at a time."""
    return SEPARATOR.join((queue, home, band_of(priority, group), digits(milliseconds(at)), id_, group))


def home_of(key: str) -> str:
    """Whose message the one under a key is."""
    return key.split(SEPARATOR, 2)[1]


def due_ms_of(key: str) -> int:
    """When the message under a key is due."""
    return int(key.split(SEPARATOR, 4)[3])


def group_of(key: str) -> str:
    """The group of the message under a key; empty where it has none."""
    return key.rpartition(SEPARATOR)[2]


def prefix(*parts: str) -> str:
    """What the keys of a queue start with, or those of one home in it, or of one band there."""
    return SEPARATOR.join((*parts, ""))


def band_of(priority: int, group: str) -> str:
    """The band of a message: its priority (0 first), or its group's share."""
    if not group:
        return str(priority)
    return f"g{blake2b(group.encode(), digest_size=2).digest()[0] % SHARES:02d}"


def milliseconds(at: float) -> int:
    """A time as keys have it."""
    return int(at * 1000)


def digits(at_ms: int) -> str:
    """Milliseconds as text that sorts as they do."""
    return str(at_ms).zfill(13)


# What becomes of a message whose handler failed.


def said_of(error: BaseException) -> str:
    """What is remembered of a failure: its class and its message, as far as they fit."""
    return f"{type(error).__name__}: {error}"[:SAID_MAX]


class Again(msgspec.Struct, frozen=True):
    """Hand it out again at a time (seconds since 1970)."""

    envelope: Envelope
    at: float


class Dead(msgspec.Struct, frozen=True, array_like=True):
    """A message that was given up: when, where it stood, with which error; `fingerprint` is alike for like errors."""

    envelope: Envelope
    at: float
    key: str
    error: str
    said: str
    fingerprint: str


def fingerprint(error: str, said: str) -> str:
    """The same for errors that differ in numbers and identifiers alone: what people look for among the dead."""
    shape = "".join("#" if sign.isdigit() else sign for sign in said.split("\n", 1)[0])
    return blake2b(f"{error}\0{shape}".encode(), digest_size=4).hexdigest()


def failed(
    key: str,
    envelope: Envelope,
    attempt: Attempt,
    retry: Retry,
    rng: Callable[[], float],
    *,
    retry_after_s: float | None = None,
    curable: bool = True,
) -> Again | Dead:
    """What to do after a failed attempt. `curable`: whether another one may end better."""
    receives = envelope.receives + (not envelope.running)  # a claim has counted it already
    history = remembered(envelope.history, attempt)
    told = msgspec.structs.replace(envelope, receives=receives, running="", history=history)
    expired = retry.timeout_s is not None and attempt.at >= envelope.sent_at + retry.timeout_s
    wait_s = retry.delay(told.receives, rng, retry_after_s) if curable and not expired else None
    if wait_s is None:
        mark = fingerprint(attempt.error, attempt.said)
        return Dead(told, attempt.at, key, attempt.error, attempt.said, mark)
    return Again(told, attempt.at + wait_s)


def remembered(history: Sequence[Attempt], attempt: Attempt) -> tuple[Attempt, ...]:
    """A history with one more attempt, within its bound."""
    if len(history) < HISTORY_MAX:
        return (*history, attempt)
    return (history[0], *history[2:], attempt)
