"""Sets: nothing acknowledged is missing, nothing is there that was not asked for."""

from proa.simulation.checkers import sets
from proa.simulation.history import Final
from support.histories import commit, involved, op, regional, store, strong

A = op(0, "add", "a", at=(0, 1))
B = op(1, "add", "b", at=(2, 3))


def check(history, final, mode="strong", *, linearizable=True):
    return sets.check(history, final, "s", mode, linearizable=linearizable)


def test_a_good_history_has_no_violation():
    history = [A, B, op(2, "read", result=["a"], at=(1.5, 4)), op(3, "read", result=["b", "a"], at=(4, 5))]
    assert check(history, strong("s", {"a": 1, "b": 1})) == []


def test_an_acknowledged_element_must_be_in_every_region():
    assert involved(check([A, B], strong("s", {"a": 1}))) == [(1,)]
    (violation,) = check([A, B], regional("s", {"a": 1, "b": 1}, us={"b": 1}), "any")
    assert (violation.operations, violation.detail) == ((0,), "us lost a, which were acknowledged")


def test_an_element_without_an_answer_may_be_there_or_not():
    unknown = op(0, "add", "a", outcome="unknown")
    assert check([unknown], strong("s", {})) == check([unknown], strong("s", {"a": 1})) == []


def test_an_element_whose_add_failed_is_absent():
    failed = op(0, "add", "a", outcome="failed")
    assert involved(check([failed], strong("s", {"a": 1}))) == [(0,)]
    assert involved(check([failed, op(1, "read", result=["a"])], strong("s", {}))) == [(0, 1)]


def test_an_element_from_nowhere_is_found_in_reads_and_at_the_end():
    assert involved(check([], strong("s", {"z": 1}))) == [()]
    assert involved(check([op(0, "read", result=["z"])], strong("s", {}))) == [(0,)]


def test_a_read_cannot_see_what_was_added_after_it():
    history = [op(0, "read", result=["b"], at=(0, 1)), B]
    assert involved(check(history, strong("s", {"b": 1}))) == [(0, 1)]


def test_a_linearizable_read_misses_nothing_that_was_there_before():
    miss = op(5, "read", result=[], at=(4, 5))
    assert involved(check([A, miss], strong("s", {"a": 1}))) == [(0, 5)]
    assert check([A, miss], strong("s", {"a": 1}), linearizable=False) == []


def test_what_one_read_saw_a_later_one_sees_too():
    unknown = op(0, "add", "a", at=(0, 1), outcome="unknown")
    reads = [op(1, "read", result=["a"], at=(2, 3)), op(2, "read", result=[], at=(4, 5))]
    assert involved(check([unknown, *reads], strong("s", {"a": 1}))) == [(1, 2)]


def test_an_element_on_the_lost_write_list_is_accounted_for():
    kept = op(0, "add", "a", region="eu", idempotency_key="k")
    parked = [commit("eu/1", 1, {"a": b"1"}, key="k")]
    assert check([kept], Final({"eu": store(parked=parked), "us": store()}, store()), "active") == []
    assert involved(check([kept], Final({"eu": store(), "us": store()}, store()), "active")) == [(0,), (0,)]


def test_an_element_that_was_acknowledged_by_a_region_whose_disk_is_lost_is_accounted_for():
    kept = op(0, "add", "a", region="eu")
    assert check([kept], regional("s", {}, lost_disks=frozenset({"eu/1"})), "any") == []
    assert len(check([kept], regional("s", {}, lost_disks=frozenset({"us/1"})), "any")) == 2
