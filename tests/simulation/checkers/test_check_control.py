"""Control: what moved roles was approved, step by step, and kept its promise."""

import pytest
from msgspec.structs import replace

from proa.core.audit import Head, append
from proa.core.plan import Approval, Loss, Plan, digest
from proa.core.replicate.journal import Write
from proa.simulation.checkers.control import check
from proa.simulation.history import Control, Final
from support.histories import commit, involved, op, store

WALK = ("request", "gate", "approve", "fence", "catch_up", "promote", "shift", "verify", "done")
ASKED = Plan("000001", "failover", "eu", "us", 1, "anna", step="done", cut={"eu/1": 5}, new_epoch=2)
PLAN = replace(ASKED, approval=Approval("bert", digest(ASKED), 900.0))


def log(*acts):
    """The audit chain of (action, epoch) entries of the plan."""
    head, entries = Head(), []
    for action, epoch in acts:
        entry, head = append(head, "eu", action, epoch, PLAN.id, {})
        entries.append(entry)
    return entries, head


def end(plan=PLAN, walk=WALK, entries=None, parked=()):
    made, head = log(*((action, 1 if number < 5 else 2) for number, action in enumerate(walk)))
    kept = Control(made if entries is None else entries, head, {plan.id: plan})
    return Final({"eu": store(parked=parked)}, store(), control=kept)


def details(final, history=()):
    return [violation.detail for violation in check(history, final)]


def test_an_approved_plan_that_went_through_its_steps_is_no_violation():
    assert details(end()) == []


@pytest.mark.parametrize("walk", [(*WALK[:2], "regrade", *WALK[2:]), (*WALK[:5], "recut", *WALK[4:])])
def test_a_plan_may_go_back_where_the_table_says_so(walk):
    assert details(end(walk=walk)) == []


def test_an_entry_that_is_missing_breaks_the_chain():
    entries, _ = log(*((action, 1) for action in WALK))
    assert details(end(entries=[*entries[:3], *entries[4:]]))[0] == "the audit log's chain is broken at entry 5"


def test_a_step_that_does_not_follow_is_named():
    assert "plan 000001 went from done to fence" in details(end(walk=(*WALK, "fence")))


def test_an_epoch_never_falls():
    entries, head = log(("request", 1), ("gate", 3), ("approve", 2))
    final = Final({}, store(), control=Control(entries, head))
    assert details(final) == ["entry 3 (approve) went back from epoch 3 to 2"]


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        (None, "nobody had approved it"),
        (Approval("bert", "of another plan", 900.0), "what bert approved was not this"),
        (Approval("anna", digest(PLAN), 900.0), "anna may not approve it"),
        (Approval("policy", digest(PLAN), 900.0), "policy may not approve it"),
    ],
)
def test_a_plan_that_fenced_carries_an_approval_of_itself(approval, why):
    assert details(end(replace(PLAN, approval=approval))) == [f"plan 000001 went on to done, but {why}"]


def test_the_policy_approves_a_controllers_own_plan():
    approval = Approval("policy", digest(PLAN), 900.0)
    assert details(end(replace(PLAN, by_controller=True, approval=approval))) == []


def test_a_plan_that_says_that_it_lost_nothing_sets_no_promise_aside():
    late = replace(commit("eu/1", 6, {}, epoch=1, key="k"), writes=[Write("t", "a", b"1", "active")])
    told = [op(3, "write", epoch=1, idempotency_key="k"), op(4, "write", epoch=1, idempotency_key="other")]
    assert involved(check(told, end(parked=[late]))) == [(3,)]
    assert check(told, end(replace(PLAN, loss=Loss(1, unknown=True)), parked=[late])) == []
    assert check(told, end(parked=[replace(late, seq=5)])) == []
