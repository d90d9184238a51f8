"""A counter counts what it was told to: each acknowledged addition once, and nothing that failed.

Actions: `add` (argument: the amount) and `read` (result: the value). A value lies between what had surely been added
and what may have been. In the end that is everything acknowledged, and some of what nobody knows; at a read, everything
acknowledged before it began, and some of what began before it ended. Reads that may be stale are bound from above only.

Source: the `counter` workload of Jepsen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm, numbers
from proa.simulation.history import NEVER, Final, Operation, Violation


def check(
    history: Sequence[Operation],
    final: Final,
    table: str,
    mode: Mode,
    *,
    value_of: Callable[[Any], int],
    linearizable: bool,
) -> list[Violation]:
    """What contradicts the counters in `table`, a row each. `value_of` reads a row; one that is missing counts 0."""
    operations = firm(history, final, mode)
    adds: dict[str, list[Operation]] = {one.key: [] for one in operations}
    for add in operations:
        if add.action == "add" and add.outcome != "failed":
            adds[add.key].append(add)
    violations: list[Violation] = []
    for read in operations:
        if read.action == "read" and read.outcome == "ok":
            since = read.began if linearizable else -NEVER
            violations += _outside(f"read {read.number}", read.result, _bounds(adds[read.key], since, read.ended), read)
    for store, rows in copies(final, table, mode).items():
        for key, added in adds.items():
            value = value_of(rows[key]) if key in rows else 0
            violations += _outside(f"{store}, {key}", value, _bounds(added, NEVER, NEVER), *added)
        strange = sorted(rows.keys() - adds.keys())
        violations += [Violation("counter", f"{store} has a counter {key} that nobody asked for") for key in strange]
    return violations


def _bounds(adds: Iterable[Operation], before: float, until: float) -> tuple[int, int]:
    """The least and the most that a value can be: acknowledged `before`, begun `until`."""
    low = high = 0
    for add in adds:
        amount = add.argument
        if add.ended < before:
            low, high = low + amount, high + amount
        elif add.began <= until:
            low, high = low + min(amount, 0), high + max(amount, 0)
    return low, high


def _outside(where: str, value: int, bounds: tuple[int, int], *operations: Operation) -> list[Violation]:
    low, high = bounds
    if low <= value <= high:
        return []
    return [Violation("counter", f"{where}: {value} is not within {low} and {high}", numbers(operations))]
