"""The authorizer loses its active region: automatic fail-over in every way, an approved one, and a fail-back."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

from proa.chaos import drill, ledger
from proa.chaos.people import hire
from proa.chaos.progress import ApprovalGiven, FailBackRequested, FaultInjected, PlanStepped, RegionReturned
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request

pytestmark = pytest.mark.processes

LOST, STANDBY = "eu-west-1", "us-east-1"


@pytest.mark.parametrize("how", ["kill", "pause", "blackout"])
def test_an_automatic_fail_over_recovers_within_five_seconds(rehearsal, how):
    report = rehearsal.drill(
        "authorizer", how=how, rate=100, duration_s=9, fault_after_s=2, lease_s=2, failover="automatic"
    )
    # The account holds an overlap of two epochs' acknowledgements, a doubled or an unlisted lost write against it.
    assert (report.violations, report.verdict) == ([], "held")
    assert report.duplicates == 0
    assert 0 < report.rto_s < 5
    assert report.failed_idempotent > 0
    # Sessions from before the fault are good after it, and those revoked before it are not.
    assert report.examined_after_fault > 50
    assert report.wrong == 0
    assert [event.role for event in rehearsal.events if isinstance(event, RegionReturned)] == ["standby"]


def test_the_end_of_a_killed_region_that_nobody_confirms_is_waited_for(rehearsal):
    report = rehearsal.drill(
        "authorizer",
        how="kill",
        unconfirmed=True,
        rate=100,
        duration_s=8,
        fault_after_s=2,
        lease_s=3,
        failover="automatic",
    )
    assert (report.violations, report.verdict) == ([], "held")
    promoted = next(phase for phase in report.timeline if phase.phase == "promote")
    # The region renewed its lease of 3 s at most a beat (1 s) before it was killed.
    assert promoted.at_s + promoted.took_s > 2.0, "nobody may act before the lease of the lost region has run out"


def test_people_approve_a_fail_over_and_a_fail_back_under_load(rehearsal):
    report = rehearsal.drill(
        "authorizer", how="kill", rate=100, fault_after_s=2, approve_after_s=0.5, fail_back=True, hold_down_s=1
    )
    assert (report.violations, report.verdict) == ([], "held")
    done = [event.kind for event in rehearsal.events if isinstance(event, PlanStepped) and event.step == "done"]
    assert done == ["failover", "failback"]
    approvals = [event for event in rehearsal.events if isinstance(event, ApprovalGiven)]
    (asked,) = [event for event in rehearsal.events if isinstance(event, FailBackRequested)]
    assert [approval.kind for approval in approvals] == ["failover", "failback"]
    assert approvals[1].by != asked.by
    assert report.rto_after_approval_s is not None
    assert report.rto_after_approval_s < report.rto_s


def _session(key):
    shown = (("Authorization", f"Bearer {os.environ['AUTHORIZER_DRILL_TOKEN']}"),)
    return Request("POST", "/sessions", json.dumps({"device": key}).encode(), key, shown)


async def _lost_writes(cluster):
    """What the region that is back lists, by the control API."""
    people = await hire(cluster, lambda _: None)
    return await people.lost_writes(LOST)


def _kept(cluster, region):
    return {row["device"] for row in ledger.rows(cluster.data_dir(region), ["sessions"])["sessions"]}


async def _ask_the_paused_region(cluster):
    """What clients send straight to the old active region while it stands still; it answers when it wakes."""
    client = HttpClient(cluster.region_url(LOST))
    answers = await asyncio.gather(*(client.send(_session(f"late-{number}"), 60) for number in range(5)))
    client.close()
    return [answer.status for answer in answers]


def test_an_old_active_region_that_wakes_refuses_what_waited_for_it(rehearsal, monkeypatch):
    """With 100 ms between the regions, writes may not have left the region when it stops: it lists them all."""
    monkeypatch.setattr(drill, "SETTLE_S", 1.5)  # what is looked for in vain is looked for so long, twice
    rehearsal.meanwhile[FaultInjected] = _ask_the_paused_region
    report = rehearsal.drill(
        "authorizer", how="pause", rate=100, duration_s=9, fault_after_s=2, lease_s=2, failover="automatic", rtt_ms=100
    )
    assert report.violations == [], "every lost write is listed and within the RPO"
    assert report.rpo_writes > 0, "the distance must leave writes behind, or this test shows nothing"
    assert rehearsal.results == [[503] * 5]
    for region in (LOST, STANDBY):
        kept = _kept(rehearsal.cluster, region)
        assert kept
        assert not {key for key in kept if key.startswith("late-")}
        assert not kept & {write.key for write in report.lost_writes}


async def _write_in_the_dark(cluster):
    """A client within the region that is cut off: it reaches the region past all wires. (key, when, status) of each."""
    client = HttpClient(f"http://{cluster.config.nodes[LOST].http}")
    answers = []
    for number in range(100):
        key = f"dark-{number}"
        answer = await client.send(_session(key), 3)
        answers.append((key, time.time(), answer.status))
        await asyncio.sleep(0.04)
    client.close()
    return answers


def test_writes_in_the_dark_end_with_the_lease_and_are_parked_and_listed(rehearsal):
    """A region that nobody hears acknowledges writes while its lease lasts, none later, and none once another may."""
    rehearsal.meanwhile = {FaultInjected: _write_in_the_dark, RegionReturned: _lost_writes}
    report = rehearsal.drill(
        "authorizer", how="blackout", rate=100, duration_s=8, fault_after_s=2, lease_s=2, failover="automatic"
    )
    assert report.violations == []
    answers, listed = rehearsal.results
    acknowledged = [(key, at) for key, at, status in answers if status == 200]
    promoted = next(phase for phase in report.timeline if phase.phase == "promote")
    assert len(acknowledged) > 5
    assert max(at for _, at in acknowledged) < report.fault_at + promoted.at_s + promoted.took_s
    assert answers[-1][2] == 503
    assert {key for key, _ in acknowledged} <= listed
    for region in (LOST, STANDBY):
        assert not {key for key in _kept(rehearsal.cluster, region) if key.startswith("dark-")}
