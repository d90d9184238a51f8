"""What Envoy says about itself: readiness, the plan that it acts on, and its counts per region.

Read-only calls to Envoy's admin port on loopback. The parsing is pure, so that it is tested on recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import msgspec

from proa.core.route import RoutingPlan
from proa.edge.envoy import version_text
from proa.runtime.config import Address

_VERSIONS = "/stats?format=json&type=TextReadouts&filter=^cluster\\.regions_.*\\.version_text$"
_CLUSTERS = "/clusters?format=json"
_RETRIES = "/stats?format=json&filter=^cluster\\.regions_.*\\.upstream_rq_(retry|retry_success|retry_overflow)$"


class RegionTraffic(msgspec.Struct, frozen=True):
    """What the edge sent to one region since Envoy started, and whether it would send more."""

    requests: int = 0
    errors: int = 0
    connect_failures: int = 0
    in_flight: int = 0
    healthy: bool = True
    ejected: bool = False


class EdgeStats(msgspec.Struct, frozen=True):
    """Counts since Envoy started. `retries_refused`: those that the budget did not allow."""

    regions: dict[str, RegionTraffic] = {}
    retries: int = 0
    retries_won: int = 0
    retries_refused: int = 0


class Admin:
    """A client of one Envoy's admin port. Every method answers "nothing" while Envoy is not there."""

    def __init__(self, address: Address, timeout_s: float = 1.0) -> None:
        self._base = f"http://{address}"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give the connection back."""
        if self._session is not None:
            await self._session.close()

    async def ready(self) -> bool:
        """Whether Envoy accepts clients."""
        return await self._get("/ready") is not None

    async def acts_on(self, plan: RoutingPlan) -> bool:
        """Whether every cluster has taken this very plan."""
        answer = await self._get(_VERSIONS)
        return answer is not None and taken(msgspec.json.decode(answer)) == {version_text(plan)}

    async def stats(self) -> EdgeStats:
        """The counts, all zero while Envoy is not there."""
        clusters, counters = await self._get(_CLUSTERS), await self._get(_RETRIES)
        if clusters is None or counters is None:
            return EdgeStats()
        return stats_of(msgspec.json.decode(clusters), msgspec.json.decode(counters))

    async def _get(self, path: str) -> bytes | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.get(self._base + path) as answer:
                return await answer.read() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None


def taken(document: Mapping[str, Any]) -> set[str]:
    """The versions that the clusters act on; one of them when all agree."""
    return {stat["value"] for stat in document["stats"] if "value" in stat}


def stats_of(clusters: Mapping[str, Any], counters: Mapping[str, Any]) -> EdgeStats:
    """Envoy's two documents as one value; a region's clusters are added up."""
    regions: dict[str, RegionTraffic] = {}
    for cluster in clusters.get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            region = host["locality"]["region"]
            regions[region] = _added(regions.get(region, RegionTraffic()), _traffic(host))
    count = _sums(counters["stats"])
    return EdgeStats(
        regions,
        retries=count.get("upstream_rq_retry", 0),
        retries_won=count.get("upstream_rq_retry_success", 0),
        retries_refused=count.get("upstream_rq_retry_overflow", 0),
    )


def _traffic(host: Mapping[str, Any]) -> RegionTraffic:
    count = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"]}
    health = host["health_status"]
    ejected = bool(health.get("failed_outlier_check"))
    return RegionTraffic(
        requests=count["rq_total"],
        errors=count["rq_error"],
        connect_failures=count["cx_connect_fail"],
        in_flight=count["rq_active"],
        healthy=not (ejected or health.get("failed_active_health_check")),
        ejected=ejected,
    )


def _added(a: RegionTraffic, b: RegionTraffic) -> RegionTraffic:
    return RegionTraffic(
        requests=a.requests + b.requests,
        errors=a.errors + b.errors,
        connect_failures=a.connect_failures + b.connect_failures,
        in_flight=a.in_flight + b.in_flight,
        healthy=a.healthy and b.healthy,
        ejected=a.ejected or b.ejected,
    )


def _sums(stats: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Counters by their last name, over all clusters."""
    sums: dict[str, int] = {}
    for stat in stats:
        if "name" in stat:
            name = stat["name"].rsplit(".", 1)[-1]
            sums[name] = sums.get(name, 0) + int(stat["value"])
    return sums
