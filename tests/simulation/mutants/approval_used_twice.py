"""An approval stays on the desk: the next plan finds one lying there and goes on with it."""

from msgspec.structs import replace as changed

from proa.control import desk
from proa.core import failover
from proa.core.failover import Change, moved


def plant(replace):
    propose, after_gate = failover.propose, failover._after_gate

    def propose_approved(s, *args, **options):
        plan = propose(s, *args, **options)
        return changed(plan, approval=s.plan.approval) if s.plan else plan

    def go_on(s, plan, a, now):
        return [Change("approve", moved(plan, "approve"))] if plan.approval else after_gate(s, plan, a, now)

    replace(failover, "propose", propose_approved)
    replace(desk, "propose", propose_approved)
    replace(failover, "approval_holds", lambda plan, _now: plan.approval is not None)
    replace(failover, "_STEPS", {**failover._STEPS, "gate": go_on})
