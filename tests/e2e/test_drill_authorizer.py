"""The authorizer loses its active region: automatic fail-over in every way, an approved one, and a fail-back."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from proa.chaos import ledger
from proa.chaos.progress import ApprovalGiven, FailBackRequested, FaultInjected, PlanStepped, RegionReturned
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request

pytestmark = pytest.mark.processes

LOST, STANDBY = "eu-west-1", "us-east-1"
LATE = [f"late-{number}" for number in range(5)]


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
    assert [event.role for event in rehearsal.events if isinstance(event, RegionReturned)] == ["standby"]


def test_the_end_of_a_killed_region_that_nobody_confirms_is_waited_for(rehearsal):
    report = rehearsal.drill(
        "authorizer",
        how="kill",
        unconfirmed=True,
        rate=100,
        duration_s=8,
        fault_after_s=2,
        lease_s=2,
        failover="automatic",
    )
    assert (report.violations, report.verdict) == ([], "held")
    promoted = next(phase for phase in report.timeline if phase.phase == "promote")
    assert promoted.at_s + promoted.took_s > 1.9, "nobody may act before the lease of the lost region has run out"


def test_people_approve_a_fail_over_and_a_fail_back_under_load(rehearsal):
    report = rehearsal.drill("authorizer", how="kill", rate=100, fault_after_s=2, approve_after_s=0.5, fail_back=True)
    assert (report.violations, report.verdict) == ([], "held")
    done = [event.kind for event in rehearsal.events if isinstance(event, PlanStepped) and event.step == "done"]
    assert done == ["failover", "failback"]
    approvals = [event for event in rehearsal.events if isinstance(event, ApprovalGiven)]
    (asked,) = [event for event in rehearsal.events if isinstance(event, FailBackRequested)]
    assert [approval.kind for approval in approvals] == ["failover", "failback"]
    assert approvals[1].by != asked.by
    assert report.rto_after_approval_s is not None
    assert report.rto_after_approval_s < report.rto_s


async def _ask_the_paused_region(cluster):
    """What clients send straight to the old active region while it stands still; it answers when it wakes."""
    client = HttpClient(cluster.region_url(LOST))
    token = os.environ["AUTHORIZER_DRILL_TOKEN"]
    bodies = {key: json.dumps({"token": token, "device": key}).encode() for key in LATE}
    requests = [Request("POST", "/sessions", body, key) for key, body in bodies.items()]
    answers = await asyncio.gather(*(client.send(request, 60) for request in requests))
    client.close()
    return answers


def test_an_old_active_region_that_wakes_lists_its_late_writes_and_tells_no_lie(rehearsal):
    """With 100 ms between the regions some acknowledged writes have not left the region when it stops.

    They are lost within the declared RPO, and the region lists every one of them when it wakes. What clients had sent
    to it meanwhile it refuses, because its role is gone.
    """
    rehearsal.meanwhile[FaultInjected] = _ask_the_paused_region
    report = rehearsal.drill(
        "authorizer", how="pause", rate=100, duration_s=9, fault_after_s=2, lease_s=2, failover="automatic", rtt_ms=100
    )
    assert report.violations == [], "every lost write is listed and within the RPO"
    assert report.rpo_writes > 0, "the distance must leave writes behind, or this test shows nothing"
    assert report.duplicates == 0
    (answers,) = rehearsal.results
    assert [answer.status for answer in answers] == [503] * len(LATE)
    for region in (LOST, STANDBY):
        rows = ledger.rows(rehearsal.cluster.data_dir(region), ["sessions"])["sessions"]
        kept = {row["device"] for row in rows}
        assert kept
        assert not kept & set(LATE)
        assert not kept & {write.key for write in report.lost_writes}
