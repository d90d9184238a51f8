"""The audit log: who did what, in one hash chain, and the times of a fail-over that follow from it.

Each entry carries the digest of the one before it, and the head row names the last one, so that a changed, removed or
inserted entry shows. An entry is written in the same transaction as what it tells; its row's stamp is the global
store's clock, and that one clock is what a fail-over's timeline is measured on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

HEAD_KEY = "head"
GENESIS = "0" * 64

PHASES: tuple[tuple[str, str, str], ...] = (
    ("detect", "known-good", "request"),
    ("decide", "request", "approve"),
    ("fence", "approve", "catch_up"),
    ("promote", "catch_up", "promote"),
    ("propagate", "promote", "shift"),
    ("verify", "shift", "verify"),
)
"""Each phase of a timeline with the entries that begin and end it."""


class Entry(msgspec.Struct, frozen=True):
    """One act. `action` is a plan's step or the name of another change; `by` a node or an operator."""

    number: int
    before: str
    by: str
    action: str
    epoch: int
    plan: str = ""
    detail: dict[str, str] = {}


class Head(msgspec.Struct, frozen=True):
    """The last entry of the chain."""

    number: int = 0
    digest: str = GENESIS


class Dated(msgspec.Struct, frozen=True):
    """An entry with the time at which the global store wrote it."""

    entry: Entry
    at_s: float


class Phase(msgspec.Struct, frozen=True):
    """One part of a fail-over: when it began (epoch seconds, the global store's clock) and how long it took."""

    phase: str
    at_s: float
    took_s: float


def entry_key(number: int) -> str:
    """The row key of an entry; keys sort as numbers do."""
    return f"{number:012d}"


def digest(entry: Entry) -> str:
    """The digest of one entry, that of its predecessor included."""
    canonical = msgspec.msgpack.encode((*msgspec.structs.astuple(entry)[:-1], sorted(entry.detail.items())))
    return hashlib.sha256(canonical).hexdigest()


def append(head: Head, by: str, action: str, epoch: int, plan: str, detail: dict[str, str]) -> tuple[Entry, Head]:
    """The next entry after `head`, and the head that follows it."""
    entry = Entry(head.number + 1, head.digest, by, action, epoch, plan, detail)
    return entry, Head(entry.number, digest(entry))


def broken_at(entries: Sequence[Entry], head: Head) -> int | None:
    """The number of the first entry that does not fit the chain, or None where all of it holds."""
    before = Head()
    for entry in entries:
        if entry.number != before.number + 1 or entry.before != before.digest:
            return entry.number
        before = Head(entry.number, digest(entry))
    return None if before == head else before.number + 1


def timeline(entries: Iterable[Dated], plan: str) -> list[Phase]:
    """The phases of one plan, as far as it has come."""
    times: dict[str, float] = {}
    for dated in entries:
        if dated.entry.plan == plan:
            times[dated.entry.action] = dated.at_s
            if "known_good_at_s" in dated.entry.detail:
                times["known-good"] = min(float(dated.entry.detail["known_good_at_s"]), dated.at_s)
    return [
        Phase(phase, round(times[begin], 3), round(max(0.0, times[end] - times[begin]), 3))
        for phase, begin, end in PHASES
        if begin in times and end in times
    ]
