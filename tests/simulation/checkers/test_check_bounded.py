"""Bounded reads: what was acknowledged long enough before, and counts, is in what they show."""

import pytest

from proa.core.plan import Plan
from proa.simulation.checkers.bounded import check
from proa.simulation.history import Control, Final
from support.histories import involved, op, store

CALM = Final({"eu": store(cursors={"eu/1": 3})}, store())


def write(number, value, at, outcome="ok", region="eu", key="x"):
    return op(number, "write", value, value, at=at, outcome=outcome, region=region, key=key)


def read(number, value, within_s, at, key="x"):
    return op(number, "read", within_s, value, at=at, key=key)


def test_a_read_may_show_what_was_current_within_its_bound():
    history = [write(1, 1, (0, 1)), write(2, 2, (5, 6)), read(3, 1, 5, (10, 11)), read(4, 2, 1, (10, 11))]
    assert check(history, CALM, "any") == []


def test_a_read_that_shows_what_was_overtaken_before_its_bound_is_a_violation():
    history = [write(1, 1, (0, 1)), write(2, 2, (5, 6)), read(3, 1, 2, (10, 11))]
    assert involved(check(history, CALM, "strong")) == [(2, 3)]


def test_the_bound_counts_from_when_the_read_began_and_the_write_was_answered():
    write_under_way = write(2, 2, (5, 20))
    assert check([write(1, 1, (0, 1)), write_under_way, read(3, 1, 0, (10, 30))], CALM, "any") == []


def test_a_write_without_an_answer_may_show_or_not():
    history = [write(1, 1, (0, 1)), write(2, 2, (2, 3), outcome="unknown")]
    assert check([*history, read(3, 1, 0, (10, 11)), read(4, 2, 0, (12, 13))], CALM, "any") == []


def test_another_row_and_an_empty_one_are_apart():
    assert check([write(1, 1, (0, 1), key="y"), read(2, 0, 0, (10, 11))], CALM, "any") == []
    assert involved(check([write(1, 1, (0, 1)), read(2, 0, 0, (10, 11))], CALM, "any")) == [(1, 2)]


def test_what_nobody_wrote_is_shown_to_nobody():
    assert involved(check([write(1, 1, (0, 1)), read(2, 7, 0, (10, 11))], CALM, "any")) == [(2,)]


def planned(**who):
    plan = Plan("p", "evacuate", who.get("lost", ""), "", 1, "", dropped=who.get("dropped", ()))
    return Final({"us": store()}, store(), control=Control(plans={"p": plan}))


@pytest.mark.parametrize(
    "final",
    [
        Final({"us": store(cursors={"eu/2": 1})}, store()),
        Final({"us": store()}, store(), lost_disks=frozenset({"eu/1"})),
        planned(lost="eu"),
        planned(dropped=("eu",)),
    ],
    ids=["another life", "lost disk", "cut off", "dropped"],
)
def test_regions_that_fell_out_count_for_strong_tables_alone(final):
    history = [write(1, 1, (0, 1)), read(2, 0, 0, (10, 11))]
    assert check(history, final, "any") == []
    assert involved(check(history, final, "strong")) == [(1, 2)]
