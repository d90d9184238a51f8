"""Lists keep what was appended, once and in order.

Elements are unique. Actions: `append` (argument: the element; result: the list after it) and `read` (result: the list).
In `strong` and `active` tables every acknowledged append is kept, one that had ended before another began stands before
it, and whatever anybody saw is a prefix of the final list. In an `any` table the last writer of the whole list wins, so
concurrent appends may be gone; but never does an earlier list replace one that was made from it: the final list is no
strict prefix of an acknowledged one.

Source: the list-append workload of Elle (Kingsbury and Alvaro, 2020), for whom a list shows its own history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, cast

from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm, listed_twice, numbers
from proa.simulation.history import Final, Operation, Violation

Items = Sequence[Any]
Appends = Mapping[Any, Operation]
"""The operation that appended an element, by element."""


def check(
    history: Sequence[Operation], final: Final, table: str, mode: Mode, *, items_of: Callable[[Any], Items]
) -> list[Violation]:
    """What contradicts the lists in `table`, a row each. `items_of` reads a row; one that is missing is empty."""
    by_key: dict[str, list[Operation]] = {}
    for one in firm(history, final, mode):
        by_key.setdefault(one.key, []).append(one)
    stores = {
        store: {key: items_of(row) for key, row in rows.items()} for store, rows in copies(final, table, mode).items()
    }
    violations = list(_differing(stores))
    for key in dict.fromkeys([*by_key, *(key for lists in stores.values() for key in lists)]):
        own = by_key.get(key, [])
        appends = {one.argument: one for one in own if one.action == "append"}
        told = [one for one in own if one.outcome == "ok"]
        violations += [found for one in told for found in _misshapen(one)]
        for store, lists in stores.items():
            where, items = f"{store}, {key}", lists.get(key, ())
            violations += _at_rest(where, items, appends)
            if mode == "any":
                violations += _replaced(where, items, appends, told, final)
            else:
                violations += [*_lost(where, items, appends), *_reordered(where, items, appends)]
                violations += _rewritten(where, items, told)
    return violations


def _differing(stores: Mapping[str, Mapping[str, Items]]) -> Iterable[Violation]:
    first, *others = stores
    for other in others:
        if stores[other] != stores[first]:
            keys = sorted(stores[first].keys() | stores[other].keys())
            different = [key for key in keys if stores[first].get(key) != stores[other].get(key)]
            yield Violation("append", f"{first} and {other} differ in {', '.join(different)}")


def _misshapen(told: Operation) -> Iterable[Violation]:
    """What is wrong with an answer by itself."""
    if doubled := _doubled(told.result):
        yield Violation("append", f"operation {told.number} saw {doubled} twice", (told.number,))
    if told.action == "append" and list(told.result[-1:]) != [told.argument]:
        detail = f"operation {told.number} appended {told.argument}, and its result does not end in it"
        yield Violation("append", detail, (told.number,))


def _at_rest(where: str, items: Items, appends: Appends) -> Iterable[Violation]:
    if doubled := _doubled(items):
        yield Violation("append", f"{where} has {doubled} twice", numbers([appends[one] for one in doubled]))
    if strange := [item for item in items if item not in appends]:
        yield Violation("append", f"{where} has {strange}, which nobody appended")
    if failed := [item for item in items if item in appends and appends[item].outcome == "failed"]:
        detail = f"{where} has {failed}, whose appends failed"
        yield Violation("append", detail, numbers([appends[item] for item in failed]))


def _lost(where: str, items: Items, appends: Appends) -> Iterable[Violation]:
    present = set(items)
    if lost := [append for item, append in appends.items() if append.outcome == "ok" and item not in present]:
        detail = f"{where} lost {[append.argument for append in lost]}, which were acknowledged"
        yield Violation("append", detail, numbers(lost))


def _reordered(where: str, items: Items, appends: Appends) -> Iterable[Violation]:
    """Elements that stand after one whose append began only when theirs had ended."""
    latest: Operation | None = None
    for append in (appends[item] for item in items if item in appends):
        if latest and append.ended < latest.began:
            detail = f"{where} has {append.argument} after {latest.argument}, which was appended later"
            yield Violation("append", detail, numbers([append, latest]))
        if latest is None or append.began > latest.began:
            latest = append


def _rewritten(where: str, items: Items, told: Sequence[Operation]) -> Iterable[Violation]:
    """Answers that are no prefix of the final list, as far as what they saw has not been lost since."""
    present = set(items)
    for one in told:
        kept = list(takewhile(present.__contains__, cast("Items", one.result)))
        if kept != list(items[: len(kept)]):
            detail = f"{where} is {list(items)}, but operation {one.number} saw {list(one.result)}"
            yield Violation("append", detail, (one.number,))


def _replaced(
    where: str, items: Items, appends: Appends, told: Sequence[Operation], final: Final
) -> Iterable[Violation]:
    """Acknowledged lists that were made from the final one and yet gave way to it.

    A list whose last element two regions appended, each for itself, may be the other region's; that pair is listed.
    """
    if items and items[-1] in appends and appends[items[-1]].idempotency_key in listed_twice(final):
        return
    for one in told:
        if len(one.result) > len(items) and list(one.result[: len(items)]) == list(items):
            detail = f"{where} fell back to {list(items)} after operation {one.number} saw {list(one.result)}"
            yield Violation("append", detail, (one.number,))


def _doubled(items: Items) -> list[Any]:
    seen: set[Any] = set()
    return [item for item in items if item in seen or seen.add(item)]
