"""Fencing: acknowledgements of two epochs never overlap, and one region acknowledges in an epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.simulation.checkers.fencing import check
from proa.simulation.history import NEVER, Final
from support.histories import involved, op, store

FINAL = Final({}, store())


def ack(number, epoch, region, at, answered=NEVER, **more):
    return op(number, "write", at=at, epoch=epoch, region=region, answered=answered, **more)


def test_epochs_one_after_another_are_no_violation():
    history = [ack(0, 1, "eu", (0, 1)), ack(1, 1, "eu", (1, 2)), ack(2, 2, "us", (3, 4)), ack(3, 4, "eu", (5, 6))]
    assert check(history, FINAL) == []


def test_an_operation_begun_after_a_newer_epochs_answer_cannot_be_of_an_older_one():
    history = [ack(0, 2, "us", (0, 1)), ack(1, 1, "eu", (2, 3))]
    (violation,) = check(history, FINAL)
    assert violation.operations == (0, 1)
    assert violation.detail == (
        "eu acknowledged operation 1 in epoch 1, after us had acknowledged operation 0 in epoch 2"
    )


def test_an_answer_that_was_slow_on_its_way_proves_nothing():
    assert check([ack(0, 1, "eu", (0, 9)), ack(1, 2, "us", (1, 2))], FINAL) == []


def test_where_the_world_saw_the_answers_leave_that_decides():
    early, late = ack(0, 1, "eu", (0, 9), answered=1), ack(0, 1, "eu", (0, 9), answered=3)
    newer = ack(1, 2, "us", (1, 8), answered=2)
    assert check([early, newer], FINAL) == []
    assert involved(check([late, newer], FINAL)) == [(0, 1)]


def test_epochs_further_apart_are_compared_too():
    history = [ack(0, 1, "eu", (8, 9)), ack(1, 2, "us", (20, 21)), ack(2, 5, "ap", (4, 5))]
    assert involved(check(history, FINAL)) == [(1, 2), (0, 2)]


def test_two_regions_in_one_epoch_are_a_violation():
    history = [ack(0, 3, "eu", (0, 1)), ack(1, 3, "us", (2, 3)), ack(2, 3, "eu", (4, 5))]
    (violation,) = check(history, FINAL)
    assert (violation.operations, violation.detail) == ((0, 1), "eu and us acknowledged in one epoch, 3")


@pytest.mark.parametrize("more", [{"outcome": "unknown"}, {"outcome": "failed"}])
def test_what_was_not_acknowledged_does_not_count(more):
    assert check([ack(0, 2, "us", (0, 1)), ack(1, 1, "eu", (2, 3), **more)], FINAL) == []


def test_answers_that_acknowledged_no_active_row_do_not_count():
    assert check([ack(0, 2, "us", (0, 1)), ack(1, 0, "eu", (2, 3))], FINAL) == []


def test_rows_with_a_home_each_have_rights_of_their_own():
    """One row stayed where it was, and was written on in the old epoch while another began in the new one."""
    history = [
        ack(0, 1, "eu", (0, 1), key="x", at_home=True),
        ack(1, 2, "us", (2, 3), key="y", at_home=True),
        ack(2, 1, "eu", (4, 5), key="x", at_home=True),
    ]
    assert check(history, FINAL) == []
    late = ack(3, 1, "eu", (6, 7), key="y", at_home=True)
    assert involved(check([*history, late], FINAL)) == [(1, 3)]


acks = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(0, 3)), max_size=6)


@given(acks)
def test_an_overlap_is_found_exactly_when_two_answers_certainly_left_in_the_wrong_order(drawn):
    history = [ack(number, epoch, "eu", (began, began + took)) for number, (epoch, began, took) in enumerate(drawn)]
    expected = any(a.epoch < b.epoch and a.began > b.ended for a in history for b in history)
    assert (check(history, FINAL) != []) == expected
