"""Which part of a history a workload judges: what a fail-over set aside has not happened."""

import pytest

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit
from proa.simulation.history import NEVER, Final, Operation, StoreState
from proa.simulation.workloads.workload import overlaps, remaining

A, B = "eu-west-1/1", "us-east-1/1"


def outcome(key, status=200):
    return Outcome("POST /x", key, b"", status, [], b"", key, "eu-west-1", 1e9)


def commit(key, origin=A, seq=1, epoch=1, status=200):
    return Commit(origin, seq, seq, epoch, {}, [], [], outcome(key, status), key)


def final(*commits, parked=(), strong=()):
    journal = {(one.origin, one.seq): one for one in commits}
    region = StoreState({}, {}, journal=journal, parked=list(parked))
    records = {("POST /x", one.key): one for one in strong}
    return Final({"eu-west-1": region, "us-east-1": region}, StoreState({}, {}, outcomes=records))


def attempt(key, fate="ok", number=0, epoch=0, began=0.0, ended=1.0):
    ended = NEVER if fate == "unknown" else ended
    return Operation(number, "c", "w", "add", "x", 1, fate, None, began, ended, "eu-west-1", epoch, key)


def fates(attempts, end, mode):
    return [one.outcome for one in remaining(attempts, end, mode)[0]]


@pytest.mark.parametrize("mode", ["any", "active"])
def test_an_attempt_whose_unit_stands_is_judged_as_it_was_answered(mode):
    attempts = [attempt("k", fate) for fate in ("ok", "unknown", "failed")]
    assert fates(attempts, final(commit("k")), mode) == ["ok", "unknown", "failed"]


@pytest.mark.parametrize("mode", ["any", "active", "strong"])
def test_an_attempt_of_unknown_fate_that_no_store_knows_was_not_carried_out(mode):
    assert fates([attempt("k", "unknown")], final(), mode) == ["failed"]


def test_a_unit_that_was_set_aside_has_not_happened_though_it_was_acknowledged():
    late = commit("k", seq=7)
    assert fates([attempt("k", epoch=1)], final(late, parked=[late]), "active") == ["failed"]


def test_of_two_acknowledged_units_of_one_key_the_later_epochs_stands():
    late, again = commit("k", seq=7), commit("k", B, epoch=3)
    attempts = [attempt("k", epoch=1), attempt("k", epoch=3)]
    assert fates(attempts, final(late, again, parked=[late]), "active") == ["failed", "ok"]


def test_a_replay_in_a_later_epoch_tells_of_the_unit_that_stands():
    assert fates([attempt("k", epoch=5)], final(commit("k", epoch=1)), "active") == ["ok"]


def test_an_acknowledged_strong_unit_must_stand_whatever_the_stores_say():
    attempts = [attempt("lost"), attempt("kept"), attempt("dark", "unknown")]
    end = final(strong=[outcome("kept"), outcome("dark")])
    assert fates(attempts, end, "strong") == ["ok", "ok", "unknown"]


@pytest.mark.parametrize("mode", ["active", "strong"])
def test_a_recorded_refusal_changed_nothing(mode):
    end = final(commit("k", status=409), strong=[outcome("k", 409)])
    assert fates([attempt("k", "unknown")], end, mode) == ["failed"]


def test_a_read_without_a_key_is_judged_as_it_was_answered():
    assert fates([attempt(""), attempt("", "unknown")], final(), "strong") == ["ok", "unknown"]


def test_what_remains_of_active_rows_owes_nothing_to_a_list_of_losses():
    late = commit("k", seq=7)
    _, end = remaining([], final(late, parked=[late]), "active")
    assert [state.parked for state in end.regions.values()] == [(), ()]


def test_operations_overlap_on_the_same_key_only():
    attempts = [
        attempt("a", began=0, ended=2),
        attempt("b", began=1, ended=3),
        attempt("c", began=3.5, ended=4),
    ]
    assert overlaps(attempts) == 1
