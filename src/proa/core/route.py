"""Where a request goes, and where it may go again: the routing plan that every edge is compiled from.

Two decisions, both pure. *Which regions* comes from the assignment (roles and weights): active regions first, standbys
behind them, all others never. *What may be repeated* comes from the route's class: a unit that is decided in one place
(the global store, or a row's home) or reads only may run twice; a regional one may be sent again only if no handler can
have seen it.
The edge's agent calls `plan` for each new assignment; `proa.edge.envoy` turns the plan into Envoy's configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from proa.core.roles import Assignment, Role, Topology

RouteClass = Literal["read", "global", "home", "regional"]
Probe = Literal["live", "health"]
"""`live`: the process answers. `health`: the region's own deep verdict, readiness included."""

DECIDED_ONCE: tuple[RouteClass, ...] = ("global", "home")
"""Their keys are decided in one place, whichever region is asked."""
FULL = 100
"""The weight of a region that takes its whole share, and of one that no assignment has weighed."""
PRIORITY: dict[Role, int] = {"active": 0, "standby": 1}
"""Roles that get traffic, and in which order; the others (fenced, draining, down) get none."""


class RouteRule(msgspec.Struct, frozen=True):
    """One declared route. `path` is a template such as `/orders/{id}`.

    `keyed`: the route honours `Idempotency-Key`, and a unit that carries one is decided once, wherever it is tried.
    """

    method: str
    path: str
    cls: RouteClass
    timeout_s: float = 10.0
    keyed: bool = False


class Endpoint(msgspec.Struct, frozen=True):
    """A region's own address as the edge reaches it. `latency_ms`: the round trip from a client region, where known."""

    region: str
    host: str
    port: int
    latency_ms: dict[str, float] = {}


class Target(msgspec.Struct, frozen=True):
    """A region that gets traffic. A lower priority is used up first; within one, shares follow the weights."""

    region: str
    host: str
    port: int
    priority: int = 0
    weight: int = FULL


_TIMES = ("connect_timeout_s", "hedge_after_s", "probe_every_s", "probe_doubted_every_s", "probe_timeout_s")


class RoutePolicy(msgspec.Struct, frozen=True):
    """How an edge chooses, gives up on and tries again.

    `hedge_after_s`: a repeatable request without an answer by then is also sent to another region (the first is not
    cancelled: the first answer wins). Keep it above the slowest tenth of honest answers, below what a client bears.
    `retry_share_percent` of the requests in flight may be retries, and `retry_floor` of them always: a kill makes all
    requests in flight to one region retries at the same moment, a slow system must not double its own load for long.
    A region is probed every `probe_every_s` while it is well, and every `probe_doubted_every_s` from the first probe
    that fails until it is well again.
    """

    route: Literal["weighted", "latency"] = "weighted"
    connect_timeout_s: float = 0.25
    hedge_after_s: float = 0.25
    probe_every_s: float = 0.4
    probe_doubted_every_s: float = 0.2
    probe_timeout_s: float = 0.25
    probe_fail_after: int = 2
    retry_share_percent: float = 25.0
    retry_floor: int = 256

    def __post_init__(self) -> None:
        for name in _TIMES:
            if getattr(self, name) <= 0:
                raise ValueError(f"RoutePolicy.{name} must be positive, not {getattr(self, name)}")


class RoutingPlan(msgspec.Struct, frozen=True):
    """What an edge does under one (epoch, revision)."""

    epoch: int
    revision: int
    targets: tuple[Target, ...]

    @property
    def version(self) -> tuple[int, int]:
        return (self.epoch, self.revision)


class RetryRule(msgspec.Struct, frozen=True):
    """What permits the one other attempt. The names of `on` are those that HTTP proxies share.

    `hedge`: also when there is no answer in time, while the first attempt goes on. `statuses` are answers of a proxy or
    a dying process, never 429 or 503: those shed load, and a retry would undo that. An answer that says
    `proa-not-started: true` proves that nothing happened and is retried by every rule.
    """

    on: tuple[str, ...]
    statuses: tuple[int, ...] = ()
    hedge: bool = False


_UNSENT = ("connect-failure", "refused-stream", "reset-before-request")
ONCE = RetryRule(on=_UNSENT)
"""For requests that must not reach two handlers."""
REPEATABLE = RetryRule(on=(*_UNSENT, "reset"), statuses=(502, 504), hedge=True)
"""For requests that may run in two regions, since they change nothing or are decided in one place."""


def retry_rule(cls: RouteClass, *, keyed: bool = False) -> RetryRule:
    """What a request of class `cls` may be repeated on; `keyed`: it carries an Idempotency-Key that its route honours.

    Without a key two attempts of a global or home unit are two units, so only what was never sent is sent again.
    """
    if cls == "read" or (cls in DECIDED_ONCE and keyed):
        return REPEATABLE
    return ONCE


def probe_for(cls: RouteClass, topology: Topology) -> Probe:
    """Which check takes a region out of the routing of `cls`.

    The deep one: a region that is not ready or has lost a store must not be asked while another one is well. Except for
    the writes of an active-passive system: no other region may take those, so a failing deep check of the active region
    must not turn "some requests fail" into "all are refused"; only its fail-over moves them, or its silence.
    """
    if topology == "active-passive" and cls != "read":
        return "live"
    return "health"


def newer(a: RoutingPlan | Assignment, b: RoutingPlan | Assignment) -> bool:
    """Whether `a` replaces `b`."""
    return (a.epoch, a.revision) > (b.epoch, b.revision)


def plan(
    assignment: Assignment,
    endpoints: Sequence[Endpoint],
    *,
    policy: RoutePolicy,
    client_region: str | None = None,
    previous: RoutingPlan | None = None,
) -> RoutingPlan:
    """The routing under `assignment`. It is never empty: with nobody eligible, `previous` stays (else: everybody)."""
    by_role: dict[int, list[Target]] = {}
    for endpoint in _ordered(endpoints, policy, client_region):
        role = assignment.roles.get(endpoint.region, "down")
        priority = PRIORITY.get(role)
        # Weights share out new traffic between active regions; a standby is asked only when none of those answers.
        weight = assignment.weights.get(endpoint.region, FULL) if role == "active" else FULL
        if priority is not None and weight > 0:
            by_role.setdefault(priority, []).append(_target(endpoint, weight))
    layers: list[list[Target]] = []
    for priority in sorted(by_role):
        layers += _fill(by_role[priority]) if policy.route == "latency" else [by_role[priority]]
    targets = _numbered(layers) or _last_resort(endpoints, previous)
    return RoutingPlan(assignment.epoch, assignment.revision, targets)


def readdressed(current: RoutingPlan, endpoints: Iterable[Endpoint]) -> RoutingPlan:
    """The same plan with the addresses that the configuration gives now; targets that it no longer has are dropped."""
    at = {endpoint.region: endpoint for endpoint in endpoints}
    kept = [t for t in current.targets if t.region in at]
    moved = tuple(msgspec.structs.replace(t, host=at[t.region].host, port=at[t.region].port) for t in kept)
    return msgspec.structs.replace(current, targets=moved)


def shares(current: RoutingPlan) -> Mapping[str, float]:
    """Each region's part of the traffic while all are healthy, 0 for those behind."""
    front = [t for t in current.targets if t.priority == 0]
    total = sum(t.weight for t in front)
    return {t.region: (t.weight / total if t.priority == 0 else 0.0) for t in current.targets}


def _ordered(endpoints: Sequence[Endpoint], policy: RoutePolicy, client_region: str | None) -> list[Endpoint]:
    """Nearest first under the latency policy (unknown distances last), else as declared."""
    if policy.route != "latency" or client_region is None:
        return list(endpoints)

    def distance(endpoint: Endpoint) -> float:
        own = 0.0 if endpoint.region == client_region else float("inf")
        return endpoint.latency_ms.get(client_region, own)

    return sorted(endpoints, key=distance)


def _fill(nearest_first: list[Target]) -> list[list[Target]]:
    """Layers of one full weight each, so that a near region which is being eased in shares with the next nearest."""
    layers: list[list[Target]] = []
    room = 0
    for target in nearest_first:
        if room == 0:
            layers.append([])
            room = FULL
        share = min(target.weight, room)
        layers[-1].append(msgspec.structs.replace(target, weight=share))
        room -= share
    return layers


def _numbered(layers: list[list[Target]]) -> tuple[Target, ...]:
    """Priorities without gaps: proxies stop at the first empty one."""
    return tuple(msgspec.structs.replace(t, priority=n) for n, layer in enumerate(layers) for t in layer)


def _last_resort(endpoints: Sequence[Endpoint], previous: RoutingPlan | None) -> tuple[Target, ...]:
    kept = readdressed(previous, endpoints).targets if previous is not None else ()
    return kept or tuple(_target(endpoint, FULL) for endpoint in endpoints)


def _target(endpoint: Endpoint, weight: int) -> Target:
    return Target(endpoint.region, endpoint.host, endpoint.port, weight=weight)
