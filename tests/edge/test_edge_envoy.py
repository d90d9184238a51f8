"""The compiled configuration: deterministic, reversible, and each route with the retries of its class."""

import re

from hypothesis import given
from hypothesis import strategies as st

from proa.core.route import RouteRule, RoutingPlan, Target
from proa.edge.envoy import Bootstrap, bootstrap, encode, endpoints, plan_of, version_text
from proa.runtime.config import Address

RULES = (
    RouteRule("GET", "/orders/{id}", "read", 2.0),
    RouteRule("GET", "/orders/new", "read", 2.0),
    RouteRule("POST", "/charges", "global", 3.0, keyed=True),
    RouteRule("DELETE", "/charges/{id}", "global"),
    RouteRule("POST", "/orders", "regional", 1.0, keyed=True),
)


def spec(**changes) -> Bootstrap:
    known = {"topology": "active-active", "regions": 3, "rules": RULES}
    return Bootstrap(Address("127.0.0.1", 1), Address("127.0.0.1", 2), "/state/edge", **(known | changes))


def routes(document):
    listener = document["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["route_config"]["virtual_hosts"][0]["routes"]


def clusters(document):
    return {cluster["name"]: cluster for cluster in document["static_resources"]["clusters"]}


def test_routes_stand_in_the_order_in_which_a_region_decides():
    actual = [route["name"] for route in routes(bootstrap(spec()))]
    assert actual == [
        "hidden",
        "misspelled",
        "GET /orders/new read",
        "POST /charges global",
        "POST /charges global",
        "POST /orders regional",
        "GET /orders/{id} read",
        "DELETE /charges/{id} global",
        "undeclared",
    ]


def test_only_repeatable_routes_hedge_and_a_global_one_only_with_its_key():
    found = routes(bootstrap(spec()))[1:]
    actual = [(r["name"], len(r["match"].get("headers", [])) == 2, "hedge_policy" in r["route"]) for r in found]
    assert actual == [
        ("misspelled", False, False),
        ("GET /orders/new read", False, True),
        ("POST /charges global", True, True),
        ("POST /charges global", False, False),
        ("POST /orders regional", False, False),
        ("GET /orders/{id} read", False, True),
        ("DELETE /charges/{id} global", False, False),
        ("undeclared", False, False),
    ]


def test_a_path_that_escapes_a_sign_of_some_route_is_misspelled():
    rule = RouteRule("POST", "/orders:cancel/{id}", "global", keyed=True)
    pattern = routes(bootstrap(spec(rules=(rule,))))[1]["match"]["safe_regex"]["regex"]
    paths = ("/orders%3acancel/1", "/orders%3Acancel/1", "/a%2Fb", "/a%2fb", "/orders:cancel/a%40b.org", "/orders/%20")
    assert [bool(re.fullmatch(pattern, path)) for path in paths] == [True] * 4 + [False] * 2


def test_every_route_retries_once_at_most_and_never_on_what_was_shed():
    policies = [route["route"]["retry_policy"] for route in routes(bootstrap(spec()))[1:]]
    conditions = {condition for policy in policies for condition in policy["retry_on"].split(",")}
    assert {policy["num_retries"] for policy in policies} == {1}
    assert {status for policy in policies for status in policy.get("retriable_status_codes", [])} == {502, 504}
    assert not {"5xx", "gateway-error", "retriable-4xx", "envoy-ratelimited"} & conditions


def test_the_edge_waits_longer_than_the_regions_own_deadline():
    found = {route["name"]: route["route"]["timeout"] for route in routes(bootstrap(spec()))[1:]}
    assert found["POST /charges global"] == "3.500s"
    assert found["POST /orders regional"] == "1.500s"


def test_a_template_matches_one_segment_and_nothing_else_of_it_is_a_pattern():
    rule = RouteRule("GET", "/v1.0/orders/{id}/lines/{line}", "read")
    found = routes(bootstrap(spec(rules=(rule,))))[2]
    assert found["match"]["safe_regex"]["regex"] == r"/v1\.0/orders/[^/]+/lines/[^/]+"


def test_active_passive_writes_have_a_cluster_of_their_own_that_asks_for_life_only():
    actual = {
        name: cluster["health_checks"][0]["http_health_check"]["path"]
        for name, cluster in clusters(bootstrap(spec(topology="active-passive"))).items()
    }
    assert actual == {"regions_live": "/_proa/live", "regions_health": "/_proa/health"}
    assert list(clusters(bootstrap(spec()))) == ["regions_health"]


def test_one_region_always_stays_in():
    outliers = [clusters(bootstrap(spec(regions=n)))["regions_health"]["outlier_detection"] for n in (1, 2, 3)]
    assert [found["max_ejection_percent"] for found in outliers] == [0, 50, 67]


def test_the_socket_option_of_linux_is_left_out_elsewhere():
    assert "upstream_bind_config" in clusters(bootstrap(spec()))["regions_health"]
    assert "upstream_bind_config" not in clusters(bootstrap(spec(linux=False)))["regions_health"]


def test_the_access_log_is_off_unless_asked_for():
    assert b"access_log" not in encode(bootstrap(spec()))
    assert b"StdoutAccessLog" in encode(bootstrap(spec(access_log=True)))


targets_st = st.builds(
    Target,
    st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=20),
    st.just("127.0.0.1"),
    st.integers(1, 65535),
    st.integers(0, 5),
    st.integers(1, 100),
)
plans_st = st.builds(
    RoutingPlan, st.integers(0, 10**9), st.integers(-1, 10**6), st.lists(targets_st, max_size=5).map(tuple)
)


@given(plans_st)
def test_the_endpoints_document_holds_the_whole_plan(plan):
    assert plan_of(endpoints(plan)) == plan


@given(plans_st)
def test_the_version_in_the_document_is_the_plans(plan):
    assert endpoints(plan)["version_info"] == version_text(plan) == f"{plan.epoch}.{plan.revision}"


def test_the_same_input_gives_the_same_bytes():
    assert encode(bootstrap(spec())) == encode(bootstrap(spec()))
