"""The routing plan: who gets traffic, in which order, and what may be repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.roles import Assignment
from proa.core.route import (
    Endpoint,
    RoutePolicy,
    RoutingPlan,
    Target,
    newer,
    plan,
    probe_for,
    readdressed,
    retry_rule,
    shares,
)

REGIONS = ("eu", "us", "ap")
ENDPOINTS = [
    Endpoint("eu", "127.0.0.1", 1, {"eu": 0.0, "us": 80.0}),
    Endpoint("us", "127.0.0.1", 2, {"eu": 80.0, "us": 0.0}),
    Endpoint("ap", "127.0.0.1", 3, {"eu": 200.0, "us": 150.0}),
]
WEIGHTED = RoutePolicy()
LATENCY = RoutePolicy(route="latency")


def assignment(roles, *, epoch=1, revision=0, weights=None, topology="active-active"):
    return Assignment(epoch, topology, dict(roles), revision, weights or {})


def layout(routing: RoutingPlan):
    return [(t.region, t.priority, t.weight) for t in routing.targets]


def test_active_regions_share_the_first_priority_by_weight():
    roles = assignment({"eu": "active", "us": "active", "ap": "active"}, weights={"ap": 10})
    actual = plan(roles, ENDPOINTS, policy=WEIGHTED)
    assert layout(actual) == [("eu", 0, 100), ("us", 0, 100), ("ap", 0, 10)]
    assert shares(actual)["ap"] == pytest.approx(10 / 210)


def test_a_standby_stands_behind_the_active_region():
    roles = assignment({"eu": "standby", "us": "active"}, topology="active-passive")
    assert layout(plan(roles, ENDPOINTS, policy=WEIGHTED)) == [("us", 0, 100), ("eu", 1, 100)]


def test_without_an_active_region_the_standby_moves_up_so_that_no_priority_is_empty():
    roles = assignment({"eu": "fenced", "us": "standby"}, topology="active-passive")
    assert layout(plan(roles, ENDPOINTS, policy=WEIGHTED)) == [("us", 0, 100)]


@pytest.mark.parametrize("role", ["fenced", "draining", "down"])
def test_a_region_out_of_service_gets_nothing(role):
    roles = assignment({"eu": role, "us": "active", "ap": "active"})
    assert layout(plan(roles, ENDPOINTS, policy=WEIGHTED)) == [("us", 0, 100), ("ap", 0, 100)]


def test_a_weight_of_zero_gets_nothing():
    roles = assignment({"eu": "active", "us": "active"}, weights={"eu": 0})
    assert layout(plan(roles, ENDPOINTS, policy=WEIGHTED)) == [("us", 0, 100)]


def test_with_nobody_eligible_the_last_plan_stays_under_the_new_version():
    before = plan(assignment({"eu": "down", "us": "active"}), ENDPOINTS, policy=WEIGHTED)
    after = plan(assignment({"eu": "down", "us": "down"}, epoch=2), ENDPOINTS, policy=WEIGHTED, previous=before)
    assert (after.version, after.targets) == ((2, 0), before.targets)


def test_with_nobody_eligible_and_no_last_plan_everybody_is_tried():
    actual = plan(assignment({"eu": "down", "us": "fenced", "ap": "down"}), ENDPOINTS, policy=WEIGHTED)
    assert [t.region for t in actual.targets] == ["eu", "us", "ap"]


def test_latency_orders_regions_by_their_distance_from_the_clients():
    roles = assignment({"eu": "active", "us": "active", "ap": "active"})
    actual = plan(roles, ENDPOINTS, policy=LATENCY, client_region="us")
    assert layout(actual) == [("us", 0, 100), ("eu", 1, 100), ("ap", 2, 100)]


def test_latency_eases_the_nearest_region_in_by_sharing_with_the_next():
    roles = assignment({"eu": "active", "us": "active", "ap": "active"}, weights={"us": 10})
    actual = plan(roles, ENDPOINTS, policy=LATENCY, client_region="us")
    assert layout(actual) == [("us", 0, 10), ("eu", 0, 90), ("ap", 1, 100)]


def test_new_addresses_replace_old_ones_and_forgotten_regions_leave():
    old = RoutingPlan(3, 1, (Target("eu", "10.0.0.1", 9), Target("gone", "10.0.0.2", 9)))
    assert readdressed(old, ENDPOINTS) == RoutingPlan(3, 1, (Target("eu", "127.0.0.1", 1),))


def test_only_requests_that_may_run_twice_are_repeated_after_they_were_sent():
    repeatable = {
        (cls, keyed): "reset" in retry_rule(cls, keyed=keyed).on
        for cls in ("read", "global", "regional")
        for keyed in (False, True)
    }
    assert repeatable == {
        ("read", False): True,
        ("read", True): True,
        ("global", False): False,
        ("global", True): True,
        ("regional", False): False,
        ("regional", True): False,
    }


@given(st.sampled_from(["read", "global", "regional"]), st.booleans())
def test_no_rule_repeats_what_was_shed(cls, keyed):
    rule = retry_rule(cls, keyed=keyed)
    assert not {429, 503} & set(rule.statuses)
    assert not {"5xx", "gateway-error", "retriable-4xx"} & set(rule.on)


def test_a_failing_deep_check_moves_all_but_active_passive_writes():
    assert probe_for("read", "active-passive") == "health"
    assert probe_for("global", "active-active") == "health"
    assert probe_for("regional", "active-passive") == "live"


def test_a_policy_names_the_value_that_cannot_be():
    with pytest.raises(ValueError, match="hedge_after_s must be positive, not 0"):
        RoutePolicy(hedge_after_s=0)


roles_st = st.dictionaries(
    st.sampled_from(REGIONS), st.sampled_from(["active", "standby", "fenced", "draining", "down"])
)
weights_st = st.dictionaries(st.sampled_from(REGIONS), st.integers(0, 100))
versions_st = st.builds(RoutingPlan, st.integers(0, 3), st.integers(0, 3), st.just(()))


@given(roles_st, weights_st, st.sampled_from([WEIGHTED, LATENCY]), st.sampled_from([None, *REGIONS]))
def test_every_plan_has_traffic_contiguous_priorities_and_real_weights(roles, weights, policy, client_region):
    actual = plan(assignment(roles, weights=weights), ENDPOINTS, policy=policy, client_region=client_region)
    priorities = {t.priority for t in actual.targets}
    assert priorities == set(range(len(priorities)))
    assert priorities
    assert all(1 <= t.weight <= 100 for t in actual.targets)


@given(roles_st, weights_st)
def test_a_standby_never_comes_before_an_active_region(roles, weights):
    actual = plan(assignment(roles, weights=weights), ENDPOINTS, policy=WEIGHTED)
    behind = {t.region for t in actual.targets if t.priority > 0}
    assert all(roles.get(region) == "standby" for region in behind)


@given(versions_st, versions_st, versions_st)
def test_newer_is_a_strict_order(a, b, c):
    assert not newer(a, a)
    assert not (newer(a, b) and newer(b, a))
    assert newer(a, c) or not (newer(a, b) and newer(b, c))
