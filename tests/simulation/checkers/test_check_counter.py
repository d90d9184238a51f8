"""Counters: a value lies between what had surely been added and what may have been."""

import pytest

from proa.simulation.checkers import counter
from support.histories import involved, op, regional, row, strong

HISTORY = [
    op(0, "add", 2, at=(0, 1)),
    op(1, "add", 3, at=(2, 3), outcome="unknown"),
    op(2, "add", 5, at=(4, 6)),
    op(3, "add", 7, at=(4, 6), outcome="failed"),
]


def check(history, final, mode="strong", *, linearizable=True):
    return counter.check(history, final, "c", mode, value_of=lambda held: held.value, linearizable=linearizable)


def end(value):
    return strong("c", {"x": row(value=value)})


@pytest.mark.parametrize(("value", "violations"), [(6, 1), (7, 0), (9, 0), (10, 0), (11, 1)])
def test_the_end_lies_between_what_was_acknowledged_and_what_may_have_been(value, violations):
    assert len(check(HISTORY, end(value))) == violations


def test_the_additions_are_named():
    (violation,) = check(HISTORY, end(6))
    assert (violation.operations, violation.detail) == ((0, 1, 2), "global, x: 6 is not within 7 and 10")


@pytest.mark.parametrize(("value", "violations"), [(1, 1), (2, 0), (5, 0), (10, 0), (11, 1)])
def test_a_read_lies_between_what_ended_before_it_and_what_began_before_its_end(value, violations):
    read = op(9, "read", result=value, at=(4, 5))
    assert involved(check([*HISTORY, read], end(7))) == [(9,)] * violations


def test_a_read_that_may_be_stale_is_bound_from_above_only():
    old, wrong = op(8, "read", result=0, at=(8, 9)), op(9, "read", result=11, at=(8, 9))
    assert involved(check([*HISTORY, old, wrong], end(7), linearizable=False)) == [(9,)]


def test_attempts_under_one_key_count_once():
    attempts = [op(number, "add", 2, idempotency_key="k") for number in range(2)]
    assert check(attempts, end(2)) == []
    assert len(check(attempts, end(4))) == 1


def test_amounts_may_be_negative():
    history = [op(0, "add", 5), op(1, "add", -2, outcome="unknown")]
    assert [len(check(history, end(value))) for value in (2, 3, 5, 6)] == [1, 0, 0, 1]


def test_every_region_is_judged_and_a_missing_row_counts_nothing():
    (violation,) = check([op(0, "add", 2)], regional("c", {"x": row(value=2)}, us={}), "active")
    assert violation.detail == "us, x: 0 is not within 2 and 2"


def test_a_counter_that_nobody_asked_for_is_a_violation():
    (violation,) = check([], end(1))
    assert violation.detail == "global has a counter x that nobody asked for"
