"""A routing plan as Envoy's configuration: the bootstrap (fixed while Envoy runs), the endpoints (swapped as a file).

Pure: values in, JSON documents out, byte for byte the same for the same input. The agent writes them. The bootstrap
holds what follows from the app (listener, routes, what may be retried); the endpoints hold what follows from the
assignment (regions, priorities, weights), so a shift renames one file and asks nothing of anybody.

Where a value guards against a trap of Envoy's, the comment says which.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from proa.core.roles import Topology
from proa.core.route import Probe, RoutePolicy, RouteRule, RoutingPlan, Target, probe_for
from proa.edge.routes import TYPE, Json, Routing, cluster_name, seconds, virtual_host
from proa.errors import BadRequest, EdgeUnavailable, NotFound, ProaError
from proa.runtime.config import Address

EDS_FILE = "endpoints.json"
SERVICE = "regions"
_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_EAGER = 10_000
"""Percent of overprovisioning: the next priority gets traffic only when this one has no healthy region left."""
_LIMIT = 4096
"""Connections, requests and waiting requests per cluster; Envoy's own 1024 is less than one busy client brings."""
_TCP_USER_TIMEOUT = 18
"""Linux's option (of IPPROTO_TCP, 6) to give up a connection whose bytes nobody acknowledges."""


class Bootstrap(msgspec.Struct, frozen=True):
    """What Envoy is started with. `directory` holds the endpoints file; `regions` counts the declared regions."""

    listen: Address
    admin: Address
    directory: str
    topology: Topology
    regions: int
    rules: tuple[RouteRule, ...]
    policy: RoutePolicy = RoutePolicy()
    access_log: bool = False
    linux: bool = True


def bootstrap(spec: Bootstrap) -> Json:
    """Envoy's bootstrap document."""
    return {
        "node": {"id": "edge", "cluster": "proa"},
        "static_resources": {"listeners": [_listener(spec)], "clusters": [_cluster(spec, p) for p in probes(spec)]},
        "admin": {"address": _address(spec.admin)},
        "overload_manager": _downstream_limit(),
    }


def probes(spec: Bootstrap) -> list[Probe]:
    """The checks in use; each is a cluster of its own over the same endpoints."""
    used = {probe_for(rule.cls, spec.topology) for rule in spec.rules} | {probe_for("regional", spec.topology)}
    return [probe for probe in get_args(Probe) if probe in used]


def endpoints(plan: RoutingPlan) -> Json:
    """The endpoints document. Its version is the plan's, so that Envoy can be asked which plan it acts on."""
    assignment: Json = {
        "@type": f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": SERVICE,
        "endpoints": [_locality(target) for target in plan.targets],
        "policy": {"overprovisioning_factor": _EAGER},
    }
    return {"version_info": version_text(plan), "resources": [assignment]}


def version_text(plan: RoutingPlan) -> str:
    """`epoch.revision`, as it stands in the file and in Envoy's statistics."""
    return f"{plan.epoch}.{plan.revision}"


def plan_of(document: Json) -> RoutingPlan:
    """The plan that `endpoints` wrote; KeyError, TypeError or ValueError if it did not write this."""
    epoch, revision = (int(part) for part in document["version_info"].split("."))
    localities: list[Json] = document["resources"][0]["endpoints"]
    return RoutingPlan(epoch, revision, tuple(_target(locality) for locality in localities))


def encode(document: Json) -> bytes:
    """JSON for people and for diffs."""
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1) + b"\n"


# Endpoints


def _locality(target: Target) -> Json:
    endpoint = {"address": _address(Address(target.host, target.port))}
    return {
        "priority": target.priority,
        "locality": {"region": target.region},
        "lb_endpoints": [{"endpoint": endpoint, "load_balancing_weight": target.weight}],
    }


def _target(locality: Json) -> Target:
    host = locality["lb_endpoints"][0]
    at = host["endpoint"]["address"]["socket_address"]
    region = locality["locality"]["region"]
    return Target(region, at["address"], at["port_value"], locality["priority"], host["load_balancing_weight"])


def _address(address: Address) -> Json:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


# Clusters: how each region is watched, reached and given up


def _cluster(spec: Bootstrap, probe: Probe) -> Json:
    policy = spec.policy
    return {
        "name": cluster_name(probe),
        "type": "EDS",
        "eds_cluster_config": {"service_name": SERVICE, "eds_config": _watched_file(spec.directory)},
        "connect_timeout": seconds(policy.connect_timeout_s),
        # Steers away from a region that stopped answering before any check notices: its requests pile up.
        "lb_policy": "LEAST_REQUEST",
        "health_checks": [_health_check(policy, probe)],
        "common_lb_config": {
            # Only with no healthy region at all is everybody tried: a check that fails everywhere condemns nobody,
            # while Envoy's default (50 %) would send requests to the dead half of two regions.
            "healthy_panic_threshold": {"value": 1},
            "ignore_new_hosts_until_first_hc": True,
            # By default a verdict that follows another change takes effect up to a second late.
            "update_merge_window": "0s",
        },
        # Without it a region that left the plan is used on for as long as it is healthy.
        "ignore_health_on_host_removal": True,
        "outlier_detection": _outliers(spec.regions),
        "circuit_breakers": {"thresholds": [_thresholds(policy)]},
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 5, "keepalive_interval": 1}
        },
        **(_user_timeout() if spec.linux else {}),
        "typed_extension_protocol_options": _upstream_http(),
    }


def _watched_file(directory: str) -> Json:
    watched = {"path": f"{directory}/{EDS_FILE}", "watched_directory": {"path": directory}}
    return {"resource_api_version": "V3", "path_config_source": watched}


def _health_check(policy: RoutePolicy, probe: Probe) -> Json:
    every, doubted = seconds(policy.probe_every_s), seconds(policy.probe_doubted_every_s)
    return {
        "timeout": seconds(policy.probe_timeout_s),
        "interval": every,
        # From the first check that fails until the region is healthy again.
        "unhealthy_edge_interval": doubted,
        "unhealthy_interval": doubted,
        "healthy_edge_interval": doubted,
        # Without these two an idle cluster is checked once a minute. The first one is for regions whose check failed.
        "no_traffic_interval": doubted,
        "no_traffic_healthy_interval": every,
        "unhealthy_threshold": policy.probe_fail_after,
        "healthy_threshold": 2,
        "http_health_check": {"path": f"/_proa/{probe}"},
    }


def _outliers(regions: int) -> Json:
    """Connections that fail eject a region at once; answers never do.

    A 503 sheds load or says "not here": ejecting for it would push the load onto the others and fell them in turn.
    The next good health check takes an ejected region back. One region always stays.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 5,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "0.25s",
        "base_ejection_time": "1s",
        "max_ejection_time": "5s",
        "max_ejection_percent": -(-100 * (regions - 1) // regions),  # rounded up: all but one may be out
    }


def _thresholds(policy: RoutePolicy) -> Json:
    """Envoy's default allows three retries at once: a kill under load then fails all others."""
    budget = {
        "budget_percent": {"value": policy.retry_share_percent},
        "min_retry_concurrency": policy.retry_floor,
    }
    return {
        "max_connections": _LIMIT,
        "max_pending_requests": _LIMIT,
        "max_requests": _LIMIT,
        "retry_budget": budget,
    }


def _user_timeout() -> Json:
    option = {"level": 6, "name": _TCP_USER_TIMEOUT, "int_value": 2000, "state": "STATE_PREBIND"}
    return {"upstream_bind_config": {"socket_options": [option]}}


def _upstream_http() -> Json:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        name: {
            "@type": f"type.googleapis.com/{name}",
            "explicit_http_config": {"http_protocol_options": {}},
            # Shorter than the regions' keep-alive (5 s): a request must not meet a connection that is being closed.
            "common_http_protocol_options": {"idle_timeout": "3s"},
        }
    }


# The listener: what clients see


def _listener(spec: Bootstrap) -> Json:
    manager = {"@type": f"{TYPE}.{_MANAGER}", **_manager(spec)}
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {"name": "clients", "address": _address(spec.listen), "filter_chains": [{"filters": [network]}]}


def _manager(spec: Bootstrap) -> Json:
    return {
        "stat_prefix": "edge",
        # The client's address is the connection's, whatever it claims. No `internal_address_config`, so that nobody
        # is internal: the x-envoy-* headers of clients, which could order retries that the plan forbids, are dropped.
        "use_remote_address": True,
        # Identifiers and trace context pass through untouched; the region makes them where they are absent.
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "request_headers_timeout": "10s",
        "route_config": {
            "name": "app",
            "virtual_hosts": [virtual_host(Routing(spec.rules, spec.topology, spec.policy))],
        },
        "http_filters": [_router()],
        "local_reply_config": {"mappers": _own_answers()},
        **({"access_log": [_access_log()]} if spec.access_log else {}),
    }


def _router() -> Json:
    config = {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    return {"name": "envoy.filters.http.router", "typed_config": config}


def _access_log() -> Json:
    config = {"@type": f"{TYPE}.extensions.access_loggers.stream.v3.StdoutAccessLog"}
    return {"name": "envoy.access_loggers.stdout", "typed_config": config}


def _downstream_limit() -> Json:
    name = "envoy.resource_monitors.global_downstream_max_connections"
    kind = f"{TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    config = {"@type": kind, "max_active_downstream_connections": 4 * _LIMIT}
    return {"resource_monitors": [{"name": name, "typed_config": config}]}


def _own_answers() -> list[Json]:
    """Answers that the edge itself gives, as problem+json like those of the regions."""
    return [
        _answer("EQ", 404, NotFound),
        _answer("GE", 500, EdgeUnavailable),
        _answer("GE", 400, BadRequest),
    ]


def _answer(op: str, status: int, error: type[ProaError]) -> Json:
    comparison = {"op": op, "value": {"default_value": status, "runtime_key": "proa.none"}}
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": "%RESPONSE_CODE%",
        "code": error.code,
        "detail": "%RESPONSE_CODE_DETAILS%",
    }
    return {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": {"json_format": body, "content_type": "application/problem+json"},
    }
