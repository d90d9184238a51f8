"""Registers are linearizable: one order of all operations explains every answer and contradicts no clock.

An operation takes effect at one instant between its beginning and its end. The search puts operations in order one at a
time: next may be any that had begun before the first end among those left. A set of operations done and the value then
is looked at once, whatever order led there. An operation without an answer may come at any time, or never.

Actions: `write` (argument: the value), `cas` (argument: expected and new value; result: whether it was swapped) and
`read` (result: the value). A register that was never written holds None.

Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with the memo of Lowe, "Testing for
Linearizability" (2017). Linearizability is NP-complete, so the search is bounded and may end undecided.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm, losses, numbers, parked_rows
from proa.simulation.history import NEVER, Final, Operation, Violation

STEPS_MAX = 20_000
"""How many states a search may visit before it gives up."""
AT_REST = -1
"""The number of the last read, made of the final state; no operation of a client has it."""
IMPOSSIBLE: Any = object()
Search = tuple[int, Any]
"""Which operations are done, as bits, and the value that the register then holds."""


class Verdict(msgspec.Struct, frozen=True):
    """What was found. `undecided` are the keys whose search took too long, or whose history has listed losses in it."""

    violations: list[Violation]
    undecided: tuple[str, ...] = ()


def check(
    history: Sequence[Operation], final: Final, table: str, mode: Mode, value_of: Callable[[Any], Any]
) -> list[Violation]:
    """The registers, one row of `table` each, whose history no order explains. `value_of` reads a row."""
    return judge(history, final, table, mode, value_of).violations


def judge(
    history: Sequence[Operation],
    final: Final,
    table: str,
    mode: Mode,
    value_of: Callable[[Any], Any],
    steps_max: int = STEPS_MAX,
) -> Verdict:
    """Like `check`, and tells which registers could not be judged."""
    rows = next(iter(copies(final, table, mode).values()))
    registers: dict[str, list[Operation]] = {key: [] for key in rows}
    for operation in firm(history, final, mode):
        registers.setdefault(operation.key, []).append(operation)
    lossy = _lossy(history, final, table, mode)
    violations: list[Violation] = []
    undecided: list[str] = []
    for key, operations in registers.items():
        operations.append(_last_read(key, value_of(rows[key]) if key in rows else None))
        fits = None if key in lossy else linearizable(operations, steps_max)
        if fits is None:
            undecided.append(key)
        elif not fits:
            violations.append(_violation(key, operations, steps_max))
    return Verdict(violations, tuple(undecided))


def _lossy(history: Sequence[Operation], final: Final, table: str, mode: Mode) -> set[str]:
    """Registers that lost a value which clients may have seen: no order explains that, and none has to."""
    if mode == "strong":
        return set()
    lost = losses(final, mode)
    parked = {key for name, key in parked_rows(final) if name == table}
    return parked | {operation.key for operation in history if lost(operation)}


def _last_read(key: str, value: Any) -> Operation:
    return Operation(AT_REST, "", "", "read", key, None, "ok", value, NEVER, NEVER)


# The search.


def linearizable(operations: Sequence[Operation], steps_max: int = STEPS_MAX) -> bool | None:
    """Whether some order explains the operations on one register; None where `steps_max` did not suffice to tell."""
    operations = sorted((one for one in operations if _matters(one)), key=lambda one: one.began)
    answered = sum(1 << index for index, one in enumerate(operations) if one.outcome == "ok")
    start: Search = (0, None)
    seen: set[Search] = {start}
    todo: list[Search] = [start]
    while todo:
        done, value = todo.pop()
        if done & answered == answered:
            return True
        if len(seen) > steps_max:
            return None
        for following in _following(operations, done, value):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return False


def _matters(operation: Operation) -> bool:
    return operation.outcome == "ok" or (operation.outcome == "unknown" and operation.action != "read")


def _following(operations: Sequence[Operation], done: int, value: Any) -> list[Search]:
    """The states that one more operation leads to; the one begun first comes last, where the search goes on."""
    choices: list[Search] = []
    for index in _next(operations, done):
        after = _after(operations[index], value)
        if after is not IMPOSSIBLE:
            choices.append((done | 1 << index, after))
            if _observes(operations[index]):
                return choices[-1:]  # it fits here and changes nothing, so later is never better than now
    choices.reverse()
    return choices


def _next(operations: Sequence[Operation], done: int) -> Iterator[int]:
    """Those that may take effect next: begun before any of the others had ended."""
    first_end = NEVER
    for index in range((~done & (done + 1)).bit_length() - 1, len(operations)):
        if done >> index & 1:
            continue
        operation = operations[index]
        if operation.began > first_end:
            return
        first_end = min(first_end, operation.ended)
        yield index


def _after(operation: Operation, value: Any) -> Any:
    """The value after an operation on `value`, or `IMPOSSIBLE` where its result could not be that."""
    if operation.action == "read":
        return value if operation.result == value else IMPOSSIBLE
    if operation.action == "write":
        return operation.argument
    expected, new = operation.argument
    swapped = operation.result if operation.outcome == "ok" else True
    if (value == expected) != swapped:
        return IMPOSSIBLE
    return new if swapped else value


def _observes(operation: Operation) -> bool:
    """Whether it surely changed nothing."""
    return operation.action == "read" or (operation.outcome == "ok" and operation.result is False)


# The account of a violation.


def _violation(key: str, operations: Sequence[Operation], steps_max: int) -> Violation:
    def broken(some: Sequence[Operation]) -> bool:
        return linearizable(some, steps_max) is False

    shortest = _shortest_prefix(operations, broken)
    core = _core(shortest, broken)
    last = max((one for one in shortest if one.outcome == "ok"), key=lambda one: one.ended)
    what = "its final value" if last.number == AT_REST else f"operation {last.number} ({last.action})"
    clients = [one for one in core if one.number != AT_REST]
    return Violation("register", f"register {key}: no order of its operations explains {what}", numbers(clients))


def _shortest_prefix(operations: Sequence[Operation], broken: Callable[[Sequence[Operation]], bool]) -> list[Operation]:
    """What had been seen when the first answer came that does not fit. Every prefix of a good history is good."""
    ends = sorted(one.ended for one in operations if one.outcome == "ok")
    index = bisect_left(range(len(ends) - 1), True, key=lambda index: broken(_until(operations, ends[index])))
    return _until(operations, ends[index])


def _until(operations: Sequence[Operation], end: float) -> list[Operation]:
    """The history as it was known at `end`: what was still under way has no answer yet."""
    return [
        one if one.ended <= end else replace(one, outcome="unknown", ended=NEVER)
        for one in operations
        if one.began <= end and one.outcome != "failed"
    ]


def _core(operations: list[Operation], broken: Callable[[Sequence[Operation]], bool]) -> list[Operation]:
    """The operations that contradict each other, without those that are no part of it.

    From a good history one may leave out whatever changed nothing, and then a value with all operations that tell of
    it: what stays is good too. So what is still broken after that was broken by what stays.
    """
    for observer in [one for one in operations if _observes(one)]:
        operations = _smaller(operations, [one for one in operations if one is not observer], broken)
    if not any(one.action == "cas" and _observes(one) for one in operations):
        for value in {repr(one): one for operation in operations for one in _values(operation)}.values():
            operations = _smaller(operations, [one for one in operations if value not in _values(one)], broken)
    return operations


def _smaller(
    whole: list[Operation], part: list[Operation], broken: Callable[[Sequence[Operation]], bool]
) -> list[Operation]:
    return part if broken(part) else whole


def _values(operation: Operation) -> Sequence[Any]:
    """The values that an operation tells of; None is there from the beginning and stays."""
    match operation.action:
        case "read":
            told = (operation.result,)
        case "write":
            told = (operation.argument,)
        case _:
            told = operation.argument
    return [value for value in told if value is not None]
