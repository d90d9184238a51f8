"""Lists: what was appended stays, once and in order; a last-writer list never falls back."""

import pytest

from proa.simulation.checkers import append
from proa.simulation.history import Final
from support.histories import commit, involved, op, outcome, regional, row, store, strong

A = op(0, "append", "a", ["a"], at=(0, 1))
B = op(1, "append", "b", ["a", "b"], at=(2, 3))
C = op(2, "append", "c", at=(4, 5), outcome="unknown")


def check(history, final, mode="strong"):
    return append.check(history, final, "l", mode, items_of=lambda held: held.items)


def of(*items):
    return {"x": row(items=list(items))}


@pytest.mark.parametrize("items", ["ab", "abc"])
def test_a_good_history_has_no_violation(items):
    history = [A, B, C, op(3, "read", result=["a"], at=(1, 9)), op(4, "append", "d", outcome="failed")]
    assert check(history, strong("l", of(*items))) == []
    assert check(history, regional("l", of(*items)), "active") == []
    assert check(history, regional("l", of(*items)), "any") == []


def test_a_repeated_element_is_a_violation_at_the_end_and_in_an_answer():
    assert (0,) in involved(check([A], strong("l", of("a", "a"))))
    assert involved(check([A, op(3, "read", result=["a", "a"])], strong("l", of("a"))))[0] == (3,)


def test_an_acknowledged_element_that_is_gone_is_named():
    (violation,) = check([A, op(1, "append", "b", ["b"], at=(0, 3))], strong("l", of("b")))
    assert (violation.operations, violation.detail) == ((0,), "global, x lost ['a'], which were acknowledged")


def test_elements_stand_in_the_order_of_time():
    history = [op(0, "append", "a", ["a"], at=(0, 1)), op(1, "append", "b", ["b"], at=(2, 3))]
    assert (0, 1) in involved(check(history, strong("l", of("b", "a"))))
    concurrent = [op(0, "append", "a", ["b", "a"], at=(0, 3)), op(1, "append", "b", ["b"], at=(2, 3))]
    assert check(concurrent, strong("l", of("b", "a"))) == []


def test_what_somebody_saw_is_not_rewritten():
    history = [A, op(1, "append", "b", ["b"], at=(0, 3)), op(2, "read", result=["b", "a"], at=(4, 5))]
    assert (2,) in involved(check(history, strong("l", of("a", "b"))))


def test_an_append_that_does_not_show_in_its_own_result_is_a_violation():
    assert involved(check([A, op(1, "append", "b", ["a"], at=(2, 3))], strong("l", of("a", "b")))) == [(1,)]


def test_an_element_whose_append_failed_or_that_nobody_appended_is_a_violation():
    failed = op(0, "append", "a", outcome="failed")
    assert involved(check([failed], strong("l", of("a")))) == [(0,)]
    assert involved(check([], strong("l", of("z")))) == [()]


def test_a_suffix_on_the_lost_write_list_may_be_gone_and_what_was_seen_of_it_too():
    lost = op(1, "append", "b", ["a", "b"], at=(2, 3), region="eu", idempotency_key="k")
    seen = op(2, "read", result=["a", "b"], at=(4, 5))
    later = op(3, "append", "c", ["a", "c"], at=(6, 7))
    parked = [commit("eu/1", 2, {"x": b"ab"}, key="k")]
    states = {"eu": store({"l": of("a", "c")}, parked=parked), "us": store({"l": of("a", "c")})}
    assert check([A, lost, seen, later], Final(states, store()), "active") == []
    states = {"eu": store({"l": of("a", "c")}), "us": store({"l": of("a", "c")})}
    assert involved(check([A, lost, seen, later], Final(states, store()), "active")) == [(1,), (1,)]


def test_of_concurrent_last_writers_one_may_be_gone():
    history = [A, op(1, "append", "b", ["b"], at=(0, 3), region="us")]
    assert check(history, regional("l", of("b")), "any") == check(history, regional("l", of("a")), "any") == []


def test_a_last_writer_list_never_falls_back_to_what_it_was_made_from():
    found = check([A, B], regional("l", of("a")), "any")
    assert involved(found) == [(1,), (1,)]
    assert found[0].detail == "eu, x fell back to ['a'] after operation 1 saw ['a', 'b']"
    assert involved(check([A], regional("l", {}), "any")) == [(0,), (0,)]


def test_a_list_whose_last_element_two_regions_appended_may_be_the_other_ones():
    first = op(0, "append", "a", ["a"], at=(0, 1), idempotency_key="k")
    pair = [(outcome("k", "u1"), outcome("k", "u2"))]
    states = {region: store({"l": of("a")}, duplicates=pair) for region in ("eu", "us")}
    assert check([first, B], Final(states, store()), "any") == []


def test_regions_that_differ_are_a_violation():
    history = [A, op(1, "append", "b", ["b"], at=(0, 3))]
    (violation,) = check(history, regional("l", of("a"), us=of("b")), "any")
    assert violation.detail == "eu and us differ in x"
