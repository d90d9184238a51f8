"""Payments loses one of three active regions under load, in every way: nothing fails, is lost or is doubled."""

from __future__ import annotations

import pytest

from proa.chaos.progress import PlanStepped, RegionReturned

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("how", ["kill", "pause", "blackout"])
def test_no_charge_fails_or_is_lost_or_doubled(rehearsal, how):
    report = rehearsal.drill("payments", how=how, rate=200, duration_s=6, fault_after_s=2, lease_s=1, hold_down_s=0.5)
    assert (report.violations, report.verdict) == ([], "held")
    assert (report.failed_idempotent, report.failed, report.duplicates, report.lost_writes) == (0, 0, 0, [])
    assert report.acknowledged == 1200
    assert report.stall_ms.max < 1000
    assert report.repeats.keys() >= {"later", "at_once", "elsewhere"}
    assert [phase.phase for phase in report.timeline] == [
        "detect",
        "decide",
        "fence",
        "promote",
        "propagate",
        "verify",
    ]
    steps = [(event.kind, event.step) for event in rehearsal.events if isinstance(event, PlanStepped)]
    assert ("evacuate", "done") in steps
    assert [event.role for event in rehearsal.events if isinstance(event, RegionReturned)] == ["active"]
