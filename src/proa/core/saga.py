"""Sagas: what is kept of one, where, and whether code that runs again still fits what it did before.

A saga is a function whose every step is an entry in a journal of its own. It runs from its start whenever something
happens to it; what the journal has is not done again but answered from there, so that it comes to the same point, in
whichever region. A saga belongs to a *home*: its rows are written by the region that acts for that home.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from proa.core.home import Place, acting
from proa.core.queue import SEPARATOR, prefix

SAGAS = ":sagas"
"""The table of sagas. No declared table can have such a name."""
STEPS = ":saga_steps"
"""The table of their journals."""
SIGNALS = ":saga_signals"
"""The table of signals that no saga has waited for yet."""
HOME_MARK = ":"
Status = Literal["running", "undoing", "stuck", "done", "failed"]
ENDED = ("done", "failed")
Kind = Literal["step", "sleep", "wait", "child", "cancelled"]


class Parent(msgspec.Struct, frozen=True):
    """The saga that waits for this one, in the same home, and with which step."""

    name: str
    id: str
    step: int


class Record(msgspec.Struct, frozen=True):
    """A saga as stores keep it.

    `version` is that of the code under which it began, `seed` what its tokens are made of. `attempts` counts those of
    the step in progress, `waits` says what that is; `said` is what went wrong last, `error` its code or name. `stuck`
    is the status to which it returns when a person lets it go on. `rounds` counts for a step how often it was undone
    and then done anew: that is another piece of work than the first time.
    """

    name: str
    id: str
    home: str
    version: int
    input: bytes
    seed: str
    started_at: float
    unit: str
    trace: str = ""
    status: Status = "running"
    steps: int = 0
    attempts: int = 0
    waits: str = ""
    due: float = 0.0
    error: str = ""
    said: str = ""
    stuck: Status = "running"
    result: bytes = b""
    ended_at: float = 0.0
    parent: Parent | None = None
    rounds: dict[int, int] = {}

    def task(self, step: int) -> str:
        """What all attempts at a step share, in this saga alone."""
        return f"{self.id}#{step}" + (f".{self.rounds[step]}" if step in self.rounds else "")

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in ENDED


class Entry(msgspec.Struct, frozen=True):
    """One step of a journal: `value` is its result, `due` when a sleep or a wait is over, `undo` the name of its undo.

    What is `begun` has not ended yet; a step with an undo is begun before it runs.
    """

    kind: Kind
    name: str
    at: float
    state: Literal["begun", "done", "failed"] = "begun"
    value: bytes = b""
    error: str = ""
    said: str = ""
    due: float = 0.0
    undo: str = ""
    undone: bool = False


class Wake(msgspec.Struct, frozen=True):
    """What happens to a saga: a message of its queue.

    `start` it with `body`; `signal` it, which keeps `body` under `name`; a `timer` of a step, or the child of one,
    `ended`; `cancel` it, as `name` did, a unit unless given; or simply `go` on.
    """

    id: str
    what: Literal["start", "go", "timer", "signal", "ended", "cancel"]
    body: bytes = b""
    name: str = ""
    step: int = 0
    error: str = ""
    parent: Parent | None = None


def home_of(id_: str, regions: Sequence[str]) -> str:
    """The home of a saga: the region that its id names before a colon, else one that the id alone decides."""
    named, mark, _ = id_.partition(HOME_MARK)
    if mark and named in regions:
        return named
    return acting(Place(id_), tuple(regions)) or ""


def child_id(parent: Record, step: int) -> str:
    """The id of the child that a step starts: of the same home."""
    home = parent.home + HOME_MARK
    return f"{home}{parent.name}.{parent.task(step).removeprefix(home)}"


def saga_key(name: str, home: str, id_: str) -> str:
    """The key of a saga's row."""
    return SEPARATOR.join((name, home, id_))


def step_key(name: str, home: str, id_: str, step: int) -> str:
    """The key of an entry of its journal."""
    return prefix(name, home, id_) + f"{step:06d}"


def step_of(key: str) -> int:
    """Which step a journal's key is of."""
    return int(key.rpartition(SEPARATOR)[2])


def signal_key(name: str, home: str, id_: str, signal: str, message: str) -> str:
    """The key of a signal that waits; of one name in the order in which they were sent."""
    return prefix(name, home, id_, signal) + message


def mismatch(step: int, recorded: Entry | None, kind: str, name: str) -> str | None:
    """What does not fit between a step that the code asks for and the one that the journal has; None where both do."""
    if recorded is None or recorded.kind == "cancelled" or (recorded.kind, recorded.name) == (kind, name):
        return None
    found = f"{kind} {name}".strip() or "the end"
    return f"step {step} is recorded as {recorded.kind} {recorded.name}".rstrip() + f", the code has {found} there"


def token(seed: str, number: int) -> str:
    """The identifier that a saga draws as its so many-th: the same whenever it runs again."""
    return blake2b(f"{seed}#{number}".encode(), digest_size=16).hexdigest()


def cancelled(entries: Mapping[int, Entry], error: str, said: str, at: float) -> tuple[int, Entry]:
    """The step in progress as one that failed because somebody cancelled the saga, with its number."""
    number = in_progress(entries)
    begun = entries.get(number) or Entry("cancelled", "", at)
    return number, msgspec.structs.replace(begun, state="failed", at=at, error=error, said=said)


def in_progress(entries: Mapping[int, Entry]) -> int:
    """The number of the step that has not ended: the first one begun, or the next one."""
    begun = [number for number, entry in entries.items() if entry.state == "begun"]
    return min(begun, default=len(entries))


def retry_from(record: Record, entries: Mapping[int, Entry], step: int | None) -> int | str:
    """The step from which a saga that ended, or is stuck, goes on where a person says so; or why it cannot."""
    if step is None:
        failed = [number for number, entry in entries.items() if entry.state == "failed"]
        step = max(failed, default=len(entries)) if record.status == "failed" else len(entries)
    if not 0 <= step <= len(entries):
        return f"{record.id} has steps 0 to {len(entries) - 1}"
    if record.status == "done":
        return f"{record.id} is done"
    undone = [number for number, entry in entries.items() if entry.undone and number < step]
    if undone:
        return f"step {undone[0]} ({entries[undone[0]].name}) was undone; retry from it, or from an earlier one"
    return step


def anew(record: Record, dropped: Mapping[int, Entry]) -> dict[int, int]:
    """The rounds of a saga that forgets these entries: what was undone, and a child that ended, are begun anew."""
    again = [number for number, entry in dropped.items() if entry.undone or entry.kind == "child"]
    return {**record.rounds, **{number: record.rounds.get(number, 0) + 1 for number in again}}
