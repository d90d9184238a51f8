"""A drill in words."""

import io

import msgspec
import pytest
from rich.console import Console

from proa.chaos.account import DrillReport, Lag, LostWrite, Phase, Stall
from proa.chaos.demo import ActBegun
from proa.chaos.load import Tick
from proa.chaos.progress import ApprovalGiven, FaultInjected, LoadStarted, PlanStepped, RegionReturned
from proa.chaos.report import Narrator, show

HELD = DrillReport(
    app="payments",
    topology="active-active",
    lost_region="eu",
    how="kill",
    fault_at=100.0,
    seed=1,
    requests=1000,
    ok=998,
    failed=2,
    failed_idempotent=0,
    acknowledged=990,
    duplicates=0,
    duplicates_listed=0,
    duplicates_handled=0,
    lost_writes=[],
    rpo_writes=0,
    rto_s=0.5,
    rto_after_approval_s=None,
    lag_ms=Lag(1.5, 4.0),
    stall_ms=Stall(1.0, 20.0, 55.5),
    timeline=[Phase("detect", -0.1, 0.7), Phase("decide", 0.6, 0.005)],
    repeats={"at_once": 7, "after_timeout": 2},
    failures={"503 PROA-R001": 2},
    verdict="held",
    violations=[],
)


def printed(report):
    out = io.StringIO()
    show(report, Console(file=out, width=120, no_color=True))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_account_in_words():
    assert printed(HELD) == [
        "",
        "payments (active-active) lost eu by kill: held",
        "  requests       1000 through the edge: 998 answered, 2 failed (0 idempotent)",
        "  failures       2 x 503 PROA-R001",
        "  repeated keys  2 after timeout, 7 at once",
        "  acknowledged   990 writes: 0 lost, 0 doubled",
        "  unreplicated   0 acknowledged writes at the fault",
        "  recovery       0.5 s from the fault",
        "  stall          p50 1 ms, p99 20 ms, longest 55.5 ms",
        "  lag            p50 1.5 ms, p99 4 ms",
        "   phase   at        took",
        "   detect  -0.100 s  0.700 s",
        "   decide  +0.600 s  0.005 s",
    ]


def test_keys_that_were_used_in_two_regions_are_told_apart_from_what_nobody_knows_of():
    report = msgspec.structs.replace(HELD, duplicates=2, duplicates_listed=3, duplicates_handled=1)
    told = "990 writes: 0 lost, 2 doubled (3 keys listed as used in two regions, 1 of them dealt with)"
    assert f"  acknowledged   {told}" in printed(report)


def test_violations_and_lost_writes_are_named_but_not_all_of_them():
    lost = [LostWrite(f"k{number}", "eu/1:7", "eu", 99.0) for number in range(7)]
    report = msgspec.structs.replace(HELD, verdict="violated", violations=["7 were lost"], lost_writes=lost)
    assert printed(report)[-7:] == [
        "  violated: 7 were lost",
        *(f"  lost: k{number} (commit eu/1:7), acknowledged by eu" for number in range(5)),
        "  lost: 2 more; see the JSON",
    ]


def test_the_report_as_json_has_every_field_that_was_promised():
    promised = (
        "app topology lost_region how requests ok failed failed_idempotent acknowledged duplicates duplicates_listed "
        "duplicates_handled lost_writes rpo_writes rto_s lag_ms stall_ms timeline verdict violations"
    )
    made = msgspec.json.decode(msgspec.json.encode(HELD))
    assert set(promised.split()) <= set(made)
    assert made["lag_ms"].keys() == {"p50", "p99"}
    assert made["stall_ms"].keys() == {"p50", "p99", "max"}
    assert made["timeline"][0] == {"phase": "detect", "at_s": -0.1, "took_s": 0.7}


class Story:
    def __init__(self):
        self.now = 50.0
        self.out = io.StringIO()
        self.tell = Narrator(Console(file=self.out, width=120, no_color=True), lambda: self.now)

    def at(self, seconds, event):
        self.now = 50.0 + seconds
        self.tell(event)
        return self

    def lines(self):
        return self.out.getvalue().splitlines()


def test_a_story_counts_from_the_begin_of_the_load():
    story = (
        Story().at(3, LoadStarted(200, 1)).at(5, FaultInjected("eu", "pause")).at(6, RegionReturned("eu", "standby"))
    )
    assert story.lines() == [
        "    0.00 s  200 requests a second, at fixed due times (seed 1)",
        "    2.00 s  eu is paused: its process stands still",
        "    3.00 s  eu is back: caught up, standby",
    ]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (PlanStepped("7", "failover", "fence"), "plan 7 (failover): fence"),
        (ApprovalGiven("7", "failover", "ann", None), "ann approved plan 7"),
        (
            ApprovalGiven("7", "failover", "ann", 3),
            "ann approved plan 7, accepting 3 known lost writes and the unknown rest",
        ),
    ],
)
def test_what_plans_and_people_do_is_told(event, said):
    assert Story().at(0, event).lines() == [f"    0.00 s  {said}"]


def test_figures_are_told_now_and_then_and_when_requests_begin_or_cease_to_fail():
    def tick(failed):
        return Tick(0.0, 100, 100 - failed, failed, 1.0, 5.0)

    story = Story()
    for step, failed in enumerate([0, 0, 0, 0, 9, 9, 0, 0]):
        story.at(10 + step / 2, tick(failed))
    assert [line.split("s  ")[1].split(",")[0] for line in story.lines()] == [
        "100 answered",
        "9 of 100 failed",
        "100 answered",
    ]


def test_the_acts_of_a_demo_have_a_heading():
    assert Story().at(0, ActBegun("payments", "one region is killed")).lines() == ["", "payments: one region is killed"]


def test_what_is_no_part_of_the_story_is_not_told():
    assert Story().at(0, HELD).lines() == []
