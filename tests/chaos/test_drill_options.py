"""The options of a drill, and what they mean for one app."""

import pytest

from proa import App
from proa.chaos.faults import Blackout, Kill, Pause, fault
from proa.chaos.options import DrillOptions
from proa.errors import UsageError

ACTIVE_PASSIVE = App("door", regions=["eu", "us"], topology="active-passive", active="us", lease_s=3)
ACTIVE_ACTIVE = App("shop", regions=["eu", "us", "ap"])


def test_what_is_left_open_comes_from_the_app():
    options = DrillOptions().on(ACTIVE_PASSIVE)
    assert (options.lose, options.lease_s, options.failover) == ("us", 3, "approval")


def test_what_is_given_overrules_the_app():
    options = DrillOptions(lose="eu", lease_s=1, failover="automatic").on(ACTIVE_PASSIVE)
    assert (options.lose, options.lease_s, options.failover) == ("eu", 1, "automatic")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (DrillOptions(lose="mars"), "no region 'mars'; it has eu, us, ap"),
        (DrillOptions(how="pause", unconfirmed=True), "--unconfirmed is about a killed region"),
        (DrillOptions(fail_back=True), "shop is active-active"),
    ],
)
def test_options_that_make_no_sense_for_the_app_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        options.on(ACTIVE_ACTIVE)


def test_one_region_cannot_be_drilled():
    with pytest.raises(UsageError, match="losing it leaves nothing to measure"):
        DrillOptions().on(App("lone", regions=["eu"]))


@pytest.mark.parametrize("values", [{"rate": 0}, {"duration_s": -1}, {"fault_after_s": -1}, {"rtt_ms": -5}])
def test_impossible_values_are_refused(values):
    with pytest.raises(UsageError, match="must be positive"):
        DrillOptions(**values)


def test_the_fault_must_come_while_requests_arrive():
    with pytest.raises(UsageError, match="the fault comes after 9 s of 5 s"):
        DrillOptions(duration_s=5, fault_after_s=9)


def test_distance_and_blackouts_need_a_relay():
    wanted = [DrillOptions(), DrillOptions(how="pause"), DrillOptions(how="blackout"), DrillOptions(rtt_ms=80)]
    assert [options.needs_relay for options in wanted] == [False, False, True, True]


def test_each_way_to_lose_a_region_is_a_fault():
    assert [fault(how, "eu") for how in ("kill", "pause", "blackout")] == [Kill("eu"), Pause("eu"), Blackout("eu")]
