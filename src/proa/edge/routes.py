"""The routes of an app as Envoy's: what may be sent to which cluster, for how long, and when once more.

Envoy takes the first route that matches. A request must never match a route here whose class is not that of the
handler which a region would choose for it: then the edge might repeat what may run only once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from proa.core.roles import Topology
from proa.core.route import DECIDED_ONCE, ONCE, Probe, RetryRule, RoutePolicy, RouteRule, probe_for, retry_rule

Json = dict[str, Any]

NOT_STARTED = "proa-not-started"
RETRY_DRAWS = 64
"""How often a retry is drawn again while it meets a region that was tried: weights may be very uneven."""
KEY_HEADER = "idempotency-key"
TYPE = "type.googleapis.com/envoy"


class Routing(msgspec.Struct, frozen=True):
    """What the routes follow from. `rules` stand in the order in which the app declares them."""

    rules: tuple[RouteRule, ...]
    topology: Topology
    policy: RoutePolicy


def cluster_name(probe: Probe) -> str:
    """The cluster whose regions are taken out by `probe`."""
    return f"regions_{probe}"


def virtual_host(routing: Routing) -> Json:
    """Every route of the app, behind what is hidden and before what is not declared."""
    declared = [route for rule in _as_regions_look(routing.rules) for route in _routes(routing, rule)]
    # Whatever no rule names (mounted apps, mistakes) is the regions' to answer, and is never repeated.
    rest = _once(routing, "undeclared", {"prefix": "/"})
    return {"name": "app", "domains": ["*"], "routes": [_hidden(), _misspelled(routing), *declared, rest]}


def _hidden() -> Json:
    """Nothing under `/_proa` is for clients. Other spellings of it are gone by now, but for doubled slashes."""
    return {"name": "hidden", "match": _regex_path("/(?:/|%2[fF])*_proa.*"), "direct_response": {"status": 404}}


def _misspelled(routing: Routing) -> Json:
    """A path that escapes a slash or a sign of some route may be another route for a region: repeat nothing.

    Regions decode every escape before they route. `normalize_path` has decoded letters and digits here, no signs.
    """
    literals = "".join(re.sub(r"\{[^}]*\}", "", rule.path) for rule in routing.rules)
    signs = sorted({"/", *re.findall(r"[^\w.~-]", literals)})
    escapes = "|".join(f"%{ord(c):02x}|%{ord(c):02X}" for c in signs)
    return _once(routing, "misspelled", _regex_path(f".*(?:{escapes}).*"))


def _as_regions_look(rules: Sequence[RouteRule]) -> list[RouteRule]:
    """The order in which a region's router decides: fixed paths, then templates as declared."""
    return sorted(rules, key=lambda rule: "{" in rule.path)


def _routes(routing: Routing, rule: RouteRule) -> list[Json]:
    """One route, or two where the request's key decides what may be repeated."""
    match = {**_path(rule.path), "headers": [_method(rule.method)]}
    plain = _route(routing, rule, match, retry_rule(rule.cls))
    if not (rule.cls in DECIDED_ONCE and rule.keyed):
        return [plain]
    with_key = {**match, "headers": [_method(rule.method), {"name": KEY_HEADER, "present_match": True}]}
    return [_route(routing, rule, with_key, retry_rule(rule.cls, keyed=True)), plain]


def _once(routing: Routing, name: str, match: Json) -> Json:
    return {**_route(routing, RouteRule("*", "*", "regional"), match, ONCE), "name": name}


def _route(routing: Routing, rule: RouteRule, match: Json, retry: RetryRule) -> Json:
    # The region's own verdict on its deadline says whether anything happened; it must arrive before ours.
    patience_s = rule.timeout_s + 2 * routing.policy.hedge_after_s
    action: Json = {
        "cluster": cluster_name(probe_for(rule.cls, routing.topology)),
        "timeout": seconds(patience_s),
        "retry_policy": _retry_policy(routing.policy, retry),
    }
    if retry.hedge:
        action["hedge_policy"] = {"hedge_on_per_try_timeout": True}
    return {"name": f"{rule.method} {rule.path} {rule.cls}", "match": match, "route": action}


def _retry_policy(policy: RoutePolicy, retry: RetryRule) -> Json:
    document: Json = {
        "retry_on": ",".join((*retry.on, "retriable-headers", *(["retriable-status-codes"] if retry.statuses else []))),
        "retriable_headers": [{"name": NOT_STARTED, "string_match": {"exact": "true"}}],
        "num_retries": 1,
        # Envoy waits 25 ms by default; another region needs no rest.
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.005s"},
        "retry_priority": _extension(
            "retry_priorities", "previous_priorities", "retry.priority", "PreviousPrioritiesConfig", update_frequency=1
        ),
        "retry_host_predicate": [
            _extension("retry_host_predicates", "previous_hosts", "retry.host", "PreviousHostsPredicate")
        ],
        "host_selection_retry_max_attempts": RETRY_DRAWS,
    }
    if retry.statuses:
        document["retriable_status_codes"] = list(retry.statuses)
    if retry.hedge:
        document["per_try_timeout"] = seconds(policy.hedge_after_s)
    return document


def _extension(kind: str, name: str, package: str, message: str, **config: Any) -> Json:
    typed = {"@type": f"{TYPE}.extensions.{package}.{name}.v3.{message}", **config}
    return {"name": f"envoy.{kind}.{name}", "typed_config": typed}


def _method(method: str) -> Json:
    """GET routes answer HEAD too."""
    if method == "GET":
        return {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    return {"name": ":method", "string_match": {"exact": method}}


def _path(template: str) -> Json:
    if "{" not in template:
        return {"path": template}
    parts = re.split(r"(\{[^}]*\})", template)
    return _regex_path("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def _regex_path(regex: str) -> Json:
    return {"safe_regex": {"regex": regex}}


def seconds(value: float) -> str:
    """A duration as protobuf's JSON has it."""
    return f"{value:.3f}s"
