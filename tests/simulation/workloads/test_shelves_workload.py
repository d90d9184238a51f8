"""Shelves: what a reading of an index must find, and what it must not."""

import pytest

from proa.simulation.workloads.shelves import Shelves
from support.histories import op, regional, strong


def placed(number, shelf, place, at, item="1", lasts_s=None, outcome="ok"):
    body = {"shelf": shelf, "place": place, "lasts_s": lasts_s}
    return op(number, "place", body, at=at, key=item, outcome=outcome, idempotency_key=f"k{number}")


def read(number, items, at=(4, 5), shelf="high", now=100.0):
    found = [{"id": item, "shelf": of, "place": place, "until": until} for item, of, place, until in items]
    return op(number, "read", None, {"items": found, "at": now}, at=at, key=shelf, idempotency_key=f"k{number}")


def judged(*history, mode="strong"):
    final = strong("strong_items", {}) if mode == "strong" else regional("any_items", {})
    return [violation.detail for violation in Shelves(mode).judged(history, final)]


@pytest.mark.parametrize(
    ("items", "what"),
    [
        ([("1", "high", 2, None), ("2", "high", 1, None)], "is out of order"),
        ([("1", "high", 1, None), ("1", "high", 1, None)], "found an item twice"),
        ([("1", "low", 1, None)], "found an item of another shelf"),
        ([("1", "high", 1, 100.0)], "found an item that had expired"),
    ],
)
def test_no_reading_of_a_shelf_is_like_this(items, what):
    assert judged(read(9, items), mode="any") == [f"read 9 {what}"]


def test_an_item_is_found_where_it_was_placed_last():
    moved = [placed(0, "low", 1, (0, 1)), placed(1, "high", 3, (2, 3))]
    assert judged(*moved, read(9, [("1", "high", 3, None)])) == []
    assert judged(*moved, read(9, [])) == ["read 9 did not find item 1 as it had been placed"]
    assert judged(*moved, read(9, [("1", "high", 2, None)])) == ["read 9 did not find item 1 as it had been placed"]


def test_an_item_that_was_moved_away_is_not_found():
    moved = [placed(0, "high", 1, (0, 1)), placed(1, "low", 3, (2, 3))]
    found = read(9, [("1", "high", 1, None)])
    assert judged(*moved, found) == ["read 9 found item 1, which had been moved away"]


@pytest.mark.parametrize("outcome", ["ok", "unknown"])
def test_a_placing_at_the_same_time_leaves_it_open(outcome):
    moved = [placed(0, "high", 1, (0, 1)), placed(1, "low", 3, (2, 4.5), outcome=outcome)]
    assert judged(*moved, read(9, [])) == judged(*moved, read(9, [("1", "high", 1, None)])) == []


def test_an_item_that_is_there_for_a_while_only_may_be_gone():
    assert judged(placed(0, "high", 1, (0, 1), lasts_s=0.5), read(9, [])) == []
