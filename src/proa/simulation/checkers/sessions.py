"""Sessions read their own writes, and never unread what they have read, in whatever region.

A session is one client's operations on a row of its own, one after another, whose numbers only rise. A read that shows
less than was acknowledged to it, or shown to it, before breaks the promise, unless the session was told of a loss in
between. And it is told of one only where something was lost.

Actions: `write` (argument: the number) and `read` (result: the number). A result is a pair with the token that came; a
refusal that tells of a loss has one, with None for the number.

Source: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proa.core.replicate.stamp import Origin
from proa.simulation.history import Final, Operation, Violation


def check(history: Sequence[Operation], final: Final) -> list[Violation]:
    """What sessions were shown that they had been past, and losses of which no store knows."""
    sessions: dict[str, list[Operation]] = {}
    for operation in history:
        sessions.setdefault(operation.key, []).append(operation)
    unread = [found for operations in sessions.values() for found in _unread(operations)]
    return [*unread, *([] if _may_lose(final) else _alarms(history))]


def _unread(operations: Sequence[Operation]) -> Iterator[Violation]:
    last: Operation | None = None
    for one in operations:
        if one.outcome == "failed" and one.result:
            last = None  # it was told that something is lost, and goes on knowingly
        if one.outcome != "ok":
            continue
        if last and one.action == "read" and _number(one) < _number(last):
            detail = f"read {one.number} showed {_number(one)} to session {one.key}, which had been at {_number(last)}"
            yield Violation("session", detail, (last.number, one.number))
        if last is None or _number(one) > _number(last):
            last = one


def _number(operation: Operation) -> int:
    return operation.argument if operation.action == "write" else operation.result[0]


def _may_lose(final: Final) -> bool:
    """Whether a region was cut off, or began another life."""
    lives = [Origin.parse(origin).incarnation for state in final.regions.values() for origin in state.cursors]
    return bool(final.control.cuts or final.lost_disks) or max(lives, default=1) > 1


def _alarms(history: Sequence[Operation]) -> Iterator[Violation]:
    for one in history:
        if one.outcome == "failed" and one.result:
            yield Violation("session", f"session {one.key} was told of a loss, and nothing was lost", (one.number,))
