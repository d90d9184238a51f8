"""Losses: what was acknowledged and is gone is listed, or young enough for the declared RPO."""

from proa.simulation.checkers import loss
from proa.simulation.history import Final
from support.histories import commit, involved, op, outcome, regional, store, strong

ADD = op(0, "add", "a", at=(0, 1), region="eu", idempotency_key="k")
GONE = frozenset({"eu/1"})


def check(final, mode="any", rpo_s=2.0):
    def row_of(one):
        return ("t", one.argument) if one.action == "add" else None

    return loss.check([ADD, op(1, "read", result=[])], final, mode, row_of=row_of, rpo_s=rpo_s)


def test_what_any_store_has_is_not_lost():
    assert check(regional("t", {"a": 1}, us={})) == check(strong("t", {"a": 1}), "strong") == []


def test_what_no_store_has_and_nothing_accounts_for_is_a_violation():
    (violation,) = check(regional("t", {}))
    assert (violation.operations, violation.detail) == (
        (0,),
        "t a, acknowledged by eu at 1.000 s, is in no store: no list accounts for it",
    )


def test_what_has_no_answer_or_failed_may_be_gone():
    history = [op(0, "add", "a", outcome="unknown"), op(1, "add", "b", outcome="failed")]
    assert loss.check(history, regional("t", {}), "any", row_of=lambda one: ("t", one.argument), rpo_s=0) == []


def test_what_a_fail_over_went_on_without_is_listed():
    parked = [commit("eu/1", 1, {"a": b"1"}, key="k")]
    assert check(Final({"eu": store(parked=parked), "us": store()}, store()), "active") == []


def test_what_went_with_a_disk_must_be_young():
    def lost(at):
        return regional("t", {}, lost_disks=GONE, lost_at={"eu/1": at})

    assert check(lost(2.5)) == check(lost(0.5)) == check(lost(9), rpo_s=None) == []
    (violation,) = check(lost(3.5))
    assert violation.detail.endswith("is in no store: 2.500 s before its disk was lost; rpo_s is 2")


def test_the_loss_of_another_regions_disk_explains_nothing():
    assert involved(check(regional("t", {}, lost_disks=frozenset({"us/1"})))) == [(0,)]


def test_a_strong_table_loses_nothing_whatever_happens_to_regions():
    parked = [commit("eu/1", 1, {"a": b"1"}, key="k")]
    final = Final({"eu": store(parked=parked)}, store(), GONE, {"eu/1": 1.0})
    assert involved(check(final, "strong")) == [(0,)]


def by_key(final, mode="any"):
    return loss.check([ADD, op(1, "add")], final, mode, rpo_s=2.0)


def test_without_rows_operations_are_looked_for_by_their_outcome():
    kept = store(outcomes={("POST /", "k"): outcome("k", "u1")})
    parked = store(parked=[commit("eu/1", 1, {}, key="k")])
    assert by_key(Final({"eu": kept}, store())) == by_key(Final({"eu": store()}, kept), "strong") == []
    assert by_key(Final({"eu": parked}, store())) == []
    assert involved(by_key(Final({"eu": store()}, store()))) == [(0,)]
    assert involved(by_key(Final({"eu": parked}, store()), "strong")) == [(0,)]
