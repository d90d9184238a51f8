"""Schedules: which tick is run next, and what becomes of those that were missed.

A schedule's due times follow from its timing alone, so every region agrees on them. What it has done is one row: the
last due time that was dealt with. The row only ever moves on, in the commit of what the tick's handler wrote; so a due
time takes effect once, whoever runs it, and a clock that jumps back waits until it has caught up with the row.

Times are whole milliseconds since 1970. Jitter shifts a schedule as a whole, by a share that its name decides: those
that are due at the same instant do not run at the same instant, and each keeps its own rhythm.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import Literal, Protocol

import msgspec

TICKS = ":ticks"
"""The table of what each schedule has done. No declared table can have such a name."""
SEPARATOR = "\x1f"
COUNTED_MAX = 1000
"""Ticks that were passed over are counted up to so many at a time."""
CatchUp = Literal["skip", "latest", "all"]


class Timing(Protocol):
    """When a schedule is due."""

    def after(self, at_ms: int) -> int:
        """The first due time after a moment."""
        ...

    def upto(self, at_ms: int) -> int:
        """The last due time at a moment or before it."""
        ...


class Every(msgspec.Struct, frozen=True):
    """At a constant rate: at the multiples of a duration since 1970, whenever the app was started."""

    every_ms: int

    def after(self, at_ms: int) -> int:
        """The first due time after a moment."""
        return (at_ms // self.every_ms + 1) * self.every_ms

    def upto(self, at_ms: int) -> int:
        """The last due time at a moment or before it."""
        return at_ms // self.every_ms * self.every_ms


class Policy(msgspec.Struct, frozen=True):
    """What to do about a tick that could not begin within `late_ms` of its due time, or before the next one was due.

    `skip` passes over it, `latest` runs the last of those that were missed, `all` each of the last `most` in order.
    """

    catch_up: CatchUp = "latest"
    late_ms: int = 60_000
    most: int = 100


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """What a schedule has done, as stores keep it.

    `due_ms` is the last due time that was dealt with. `asked_ms` is when a person asked for a run besides (0: nobody
    did). `began` counts the runs of the next tick that were claimed before they began. `fired`, `failed` and `skipped`
    count ticks that took effect, were given up, and were passed over; `error` is why the last one was given up, if it
    was, and `fired_ms` when the last one took effect.
    """

    due_ms: int
    paused: bool = False
    asked_ms: int = 0
    began: int = 0
    fired: int = 0
    failed: int = 0
    skipped: int = 0
    fired_ms: int = 0
    error: str = ""


class Run(msgspec.Struct, frozen=True):
    """Run the tick of a due time, which passes over `skipped` others. `asked`: a person wants it, whatever is due."""

    due_ms: int
    skipped: int = 0
    asked: bool = False


class Pass(msgspec.Struct, frozen=True):
    """Run nothing, and pass over everything up to a due time."""

    due_ms: int
    skipped: int


class Wait(msgspec.Struct, frozen=True):
    """Nothing is due before this moment."""

    until_ms: int


class Idle(msgspec.Struct, frozen=True):
    """Nothing is due before somebody says so: the schedule is paused."""


Step = Run | Pass | Wait | Idle


def key_of(name: str, region: str) -> str:
    """The key of a schedule's row; of one that each region runs for itself, of that region's."""
    return f"{name}{SEPARATOR}{region}"


def step(timing: Timing, standing: Standing, policy: Policy, now_ms: int) -> Step:
    """What a schedule that stands so does next. `now_ms` is a clock that is behind by the schedule's jitter."""
    if standing.asked_ms:
        return Run(standing.asked_ms, asked=True)
    if standing.paused:
        return Idle()
    due_ms = timing.after(standing.due_ms)
    if due_ms > now_ms:
        return Wait(due_ms)
    latest_ms = timing.upto(now_ms)
    if policy.catch_up == "all":
        due_ms = next(islice(_back(timing, latest_ms, due_ms), policy.most - 1, None), due_ms)
        return Run(due_ms, _counted(timing, standing.due_ms, due_ms))
    skipped = _counted(timing, standing.due_ms, latest_ms)
    if policy.catch_up == "skip" and now_ms - latest_ms > policy.late_ms:
        return Pass(latest_ms, skipped + 1)
    return Run(latest_ms, skipped)


def _back(timing: Timing, latest_ms: int, first_ms: int) -> Iterator[int]:
    """Due times from the latest back to the first."""
    while latest_ms >= first_ms:
        yield latest_ms
        latest_ms = timing.upto(latest_ms - 1)


def _counted(timing: Timing, after_ms: int, before_ms: int) -> int:
    """How many due times lie between two others."""
    count, due_ms = 0, timing.after(after_ms)
    while due_ms < before_ms and count < COUNTED_MAX:
        count, due_ms = count + 1, timing.after(due_ms)
    return count


# What the row becomes.


def born(now_ms: int) -> Standing:
    """That of a schedule which is new: what was due before is nobody's business."""
    return Standing(now_ms)


def claimed(standing: Standing) -> Standing:
    """One more run of the next tick begins."""
    return msgspec.structs.replace(standing, began=standing.began + 1)


def fired(standing: Standing, run: Run, now_ms: int) -> Standing:
    """The tick took effect."""
    done = dealt_with(standing, run)
    return msgspec.structs.replace(done, fired=standing.fired + 1, fired_ms=now_ms, error="")


def given_up(standing: Standing, run: Run, error: str) -> Standing:
    """The tick failed for good."""
    return msgspec.structs.replace(dealt_with(standing, run), failed=standing.failed + 1, error=error)


def dealt_with(standing: Standing, run: Run | Pass) -> Standing:
    """Nothing is left to do for a due time, and for those before it. What a person asked for leaves these alone."""
    if isinstance(run, Run) and run.asked:
        return msgspec.structs.replace(standing, asked_ms=0, began=0)
    skipped = standing.skipped + run.skipped
    return msgspec.structs.replace(standing, due_ms=max(standing.due_ms, run.due_ms), skipped=skipped, began=0)


def asked(standing: Standing, now_ms: int) -> Standing:
    """A person wants a run. One that waits already is as good."""
    return standing if standing.asked_ms else msgspec.structs.replace(standing, asked_ms=now_ms)


def paused(standing: Standing) -> Standing:
    """Nothing is due until it is resumed."""
    return msgspec.structs.replace(standing, paused=True)


def resumed(standing: Standing, now_ms: int) -> Standing:
    """It goes on with what is due from now on."""
    if not standing.paused:
        return standing
    return msgspec.structs.replace(standing, paused=False, due_ms=max(standing.due_ms, now_ms), began=0)


def offset_ms(name: str, region: str, jitter_ms: int) -> int:
    """By how much a schedule runs after its due times: the same share of the jitter each time."""
    share = int.from_bytes(blake2b(f"{region}\0{name}".encode(), digest_size=4).digest()) / 2**32
    return int(share * jitter_ms)
