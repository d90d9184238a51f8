"""The edge of a world: the model of Envoy as the control plane knows an edge, and as clients meet it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from proa.core.roles import Assignment
from proa.core.route import Endpoint, RoutePolicy
from proa.declare.http import Request
from proa.edge.routes import Routing
from proa.nodes import edge
from proa.simulation.client import Reply
from proa.simulation.edge import EdgeModel
from proa.simulation.site import SimSite


class EdgeRouter:
    """`nodes.edge.Router` and a front door. While `takes_news()` is false it acts on what it knows."""

    def __init__(
        self,
        site: SimSite,
        policy: RoutePolicy,
        rng: Random,
        *,
        takes_news: Callable[[], bool],
        fired: Callable[[str], None],
    ) -> None:
        routing = Routing(edge.route_rules(site.app), site.rules.topology, policy)
        endpoints = [Endpoint(name, name, 0) for name in site.rules.regions]
        self._takes_news = takes_news
        self._fired = fired
        self._tell: Callable[[], None] = lambda: None
        self.model = EdgeModel(routing, endpoints, site.dial, rng, silent=site.cut_off)

    def on_applied(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever another assignment is acted on."""
        self._tell = tell

    def page(self, path: str) -> Reply | None:  # noqa: ARG002 - it serves none of its own
        return None

    async def answer(self, request: Request) -> Reply:
        return await self.model.send(request)

    def well(self, region: str) -> bool:
        """Whether every kind of check finds the region well."""
        return all(cluster.healthy(region) for cluster in self.model.clusters.values())

    @property
    def epoch(self) -> int:
        return self.model.epoch

    @property
    def revision(self) -> int:
        return max(0, self.model.revision)

    async def apply(self, assignment: Assignment) -> bool:
        if not self._takes_news():
            self._fired("stale routing")
            return False
        if applied := self.model.apply(assignment):
            self._tell()
        return applied
