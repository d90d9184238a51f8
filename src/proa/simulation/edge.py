"""The edge as a model: what Envoy does with a request under our configuration, without Envoy.

It is configured by the very documents that `proa.edge` compiles for Envoy (routes, retries, checks, ejection), so no
number stands here a second time, and moved by the same `core.route.plan`. What is written here is how Envoy acts on
them; traces recorded from the real one hold it to that (tests/simulation/edge).

Left out: HTTP itself (paths come normalized), limits on connections and requests, the few milliseconds before a retry,
and the time to open a connection. A second attempt counts against its region when the route's time is over, for Envoy
already when a hedge would be due.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from proa.core.roles import Assignment
from proa.core.route import Endpoint, Probe, RoutingPlan, newer, plan
from proa.declare.http import Request
from proa.edge.envoy import Bootstrap, bootstrap
from proa.edge.routes import KEY_HEADER, NOT_STARTED, Json, Routing, cluster_name
from proa.errors import EdgeUnavailable, NotFound, ProaError
from proa.runtime.config import Address
from proa.simulation.client import Reply
from proa.simulation.upstream import Cluster, Dial, Host, Loss, seconds_of

_NOTHING = RoutingPlan(0, -1, ())
_NOWHERE = Address("0.0.0.0", 0)  # noqa: S104 - Envoy's own addresses do not matter to what it decides


class EdgeModel:
    """One Envoy and its agent. Give it assignments, send it requests, `close` it when its process ends.

    `silent(region)` tells whether a new connection would hang at that moment: then nothing is sent and the request goes
    elsewhere, while bytes on a connection that was open already are lost with it.
    """

    def __init__(
        self,
        routing: Routing,
        endpoints: Sequence[Endpoint],
        dial: Dial,
        rng: Random,
        *,
        client_region: str | None = None,
        silent: Callable[[str], bool] = lambda _: False,
    ) -> None:
        document = bootstrap(_spec(routing, len(endpoints)))["static_resources"]
        self._policy = routing.policy
        self._endpoints = endpoints
        self._client_region = client_region
        self._plan = _NOTHING
        self.clusters = {each["name"]: Cluster(each, dial, silent, rng) for each in document["clusters"]}
        self._routes = _routes(document["listeners"][0])

    @property
    def epoch(self) -> int:
        """Of the plan that requests follow."""
        return self._plan.epoch

    @property
    def revision(self) -> int:
        """Of the plan that requests follow; -1 before the first."""
        return self._plan.revision

    def apply(self, assignment: Assignment) -> bool:
        """Route by `assignment` if it is newer than the present plan; False if it is not."""
        if not newer(assignment, self._plan):
            return False
        self._plan = plan(
            assignment,
            self._endpoints,
            policy=self._policy,
            client_region=self._client_region,
            previous=self._plan,
        )
        for cluster in self.clusters.values():
            cluster.take(self._plan)
        return True

    def healthy(self, region: str, probe: Probe = "health") -> bool:
        """Whether requests whose routing asks `probe` see the region as well."""
        cluster = self.clusters.get(cluster_name(probe))
        return cluster is not None and cluster.healthy(region)

    def close(self) -> None:
        """End the health checks."""
        for cluster in self.clusters.values():
            cluster.take(_NOTHING)

    async def send(self, request: Request) -> Reply:
        """What the client gets. Never raises for what regions do or fail to do."""
        route = next(route for route in self._routes if route.matches(request))
        if route.cluster is None:
            return _own_answer(404, "direct_response")
        return await _Exchange(route, self.clusters[route.cluster], request).run()


def _spec(routing: Routing, regions: int) -> Bootstrap:
    return Bootstrap(_NOWHERE, _NOWHERE, "", routing.topology, regions, routing.rules, routing.policy)


def _own_answer(status: int, detail: str) -> Reply:
    """An answer of the edge itself, as `edge.envoy` has them written."""
    error: type[ProaError] = NotFound if status == 404 else EdgeUnavailable
    body = {"type": "about:blank", "title": error.title, "status": status, "code": error.code, "detail": detail}
    return Reply(status, {"content-type": "application/problem+json"}, msgspec.json.encode(body))


# Routes


class Route(msgspec.Struct, frozen=True):
    """One route of the virtual host: what it matches, and how long and how often its requests are tried."""

    method: re.Pattern[str] | None
    path: re.Pattern[str]
    keyed: bool
    cluster: str | None
    timeout_s: float = 0.0
    retry_on: frozenset[str] = frozenset()
    retry_statuses: frozenset[int] = frozenset()
    hedge_after_s: float | None = None

    def matches(self, request: Request) -> bool:
        """Whether this route takes the request, if none before it did."""
        return (
            (self.method is None or self.method.fullmatch(request.method) is not None)
            and self.path.fullmatch(request.path) is not None
            and (not self.keyed or KEY_HEADER in request.headers)
        )

    def repeats(self, outcome: Reply | Loss) -> bool:
        """Whether what came of an attempt is worth another one."""
        if isinstance(outcome, str):
            return outcome in self.retry_on
        return outcome.status in self.retry_statuses or outcome.headers.get(NOT_STARTED) == "true"


def _routes(listener: Json) -> list[Route]:
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return [_route(each) for each in manager["route_config"]["virtual_hosts"][0]["routes"]]


def _route(document: Json) -> Route:
    match = document["match"]
    headers = {each["name"]: each for each in match.get("headers", ())}
    method = headers.get(":method")
    pattern, path, keyed = method and _pattern(method["string_match"]), _pattern(match), KEY_HEADER in headers
    if "direct_response" in document:
        return Route(pattern, path, keyed, None)
    action = document["route"]
    retry = action["retry_policy"]
    return Route(
        pattern,
        path,
        keyed,
        action["cluster"],
        seconds_of(action["timeout"]),
        frozenset(retry["retry_on"].split(",")),
        frozenset(retry.get("retriable_status_codes", ())),
        seconds_of(retry["per_try_timeout"]) if "hedge_policy" in action else None,
    )


def _pattern(match: Json) -> re.Pattern[str]:
    if "safe_regex" in match:
        return re.compile(match["safe_regex"]["regex"])
    if "prefix" in match:
        return re.compile(re.escape(match["prefix"]) + ".*", re.DOTALL)
    return re.compile(re.escape(match.get("path") or match["exact"]))


# One request


class _Exchange:
    """One request of a client: an attempt, and at most one other where the first failed or has not answered in time.

    The first attempt runs in the client's own task; only a hedge needs one more. The answer that counts is the first
    that is not worth a retry, else whatever comes last.
    """

    def __init__(self, route: Route, cluster: Cluster, request: Request) -> None:
        self._route = route
        self._cluster = cluster
        self._request = request
        self._last: Host | None = None
        self._hedge: asyncio.Task[Reply | Loss] | None = None
        self._limit = asyncio.timeout(route.timeout_s)

    async def run(self) -> Reply:
        """The answer for the client."""
        self._last = host = self._cluster.choose()
        if host is None:
            return _own_answer(503, "no_healthy_upstream")
        hedging = self._hedge_later(host)
        try:
            async with self._limit:
                return _told(await self._raced(host, hedging))
        except TimeoutError:
            return self._overtaken()
        finally:
            if hedging:
                hedging.cancel()
            if self._hedge:
                self._hedge.cancel()
                self._hedge = None

    def _hedge_later(self, host: Host) -> asyncio.TimerHandle | None:
        after_s = self._route.hedge_after_s
        return asyncio.get_running_loop().call_later(after_s, self._start_hedge, host) if after_s else None

    async def _raced(self, host: Host, hedging: asyncio.TimerHandle | None) -> Reply | Loss:
        outcome = await self._cluster.attempt(host, self._request)
        if hedging:
            hedging.cancel()
        if not self._route.repeats(outcome):
            return outcome
        if self._hedge:
            return await self._hedge if not self._hedge.done() or self._hedge_won() else outcome
        return await self._again(host) if self._cluster.may_retry() else outcome

    def _start_hedge(self, first: Host) -> None:
        self._cluster.failed(first)
        if self._cluster.may_retry():
            self._hedge = asyncio.get_running_loop().create_task(self._again(first))
            self._hedge.add_done_callback(self._overtake)

    async def _again(self, first: Host) -> Reply | Loss:
        self._last = host = self._cluster.choose(first)
        return "connect-failure" if host is None else await self._cluster.attempt(host, self._request, retry=True)

    def _overtake(self, hedge: asyncio.Task[Reply | Loss]) -> None:
        """A good answer to the hedge ends the wait for the first attempt, by way of the time-out."""
        if hedge is self._hedge and self._hedge_won() and not self._limit.expired():
            self._limit.reschedule(0.0)

    def _hedge_won(self) -> bool:
        hedge = self._hedge
        return hedge is not None and hedge.done() and not hedge.cancelled() and not self._route.repeats(hedge.result())

    def _overtaken(self) -> Reply:
        """What ended the wait: the hedge's answer, or the route's time-out."""
        if self._hedge and self._hedge_won():
            return _told(self._hedge.result())
        assert self._last
        self._cluster.failed(self._last)
        return _own_answer(504, "response_timeout")


def _told(outcome: Reply | Loss) -> Reply:
    if isinstance(outcome, Reply):
        return outcome
    return _own_answer(503, f"upstream_reset_before_response_started{{{outcome}}}")
