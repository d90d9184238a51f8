"""The edge: whatever routes clients, fed with every new assignment, and one more pair of eyes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from proa.app import App
from proa.control.parts import Parts
from proa.control.wake import Wake
from proa.core.roles import ROLES, Assignment
from proa.core.route import RouteRule
from proa.nodes.plane import background, eyes_and_beat, life_of
from proa.nodes.site import Running, Site, shared_parts
from proa.ports import Edge

LOOK_AGAIN_S = 5.0
OnApplied = Callable[[Callable[[], None]], None]
"""Takes what to call whenever the router acts on another assignment."""


def route_rules(app: App) -> tuple[RouteRule, ...]:
    """The app's routes as an edge must know them."""
    return tuple(
        RouteRule(route.method, route.path, route.unit, route.timeout_s, keyed=route.decided_once)
        for route in app.routes
        if not route.mount
    )


class Router(Edge, Protocol):
    """`ports.Edge` that says what it acts on."""

    @property
    def epoch(self) -> int: ...
    @property
    def revision(self) -> int: ...


@asynccontextmanager
async def serve(
    site: Site, router: Router, on_applied: Callable[[Callable[[], None]], None]
) -> AsyncGenerator[Running]:
    """Keep `router` on the newest assignment."""
    life = life_of(site, "edge")
    async with site.global_store() as store, site.probing() as probe:
        shared = shared_parts(store, site.rules, site, waking=[ROLES])  # it judges nobody and carries no plan
        observer, member = eyes_and_beat(life, probe, shared, acting=lambda: (router.epoch, router.revision))
        on_applied(member.poke)
        async with background([shared.view.run(), observer.run(), member.run(), _follow(shared, router)]):
            yield Running(life.boot, shared)


async def _follow(shared: Parts, router: Router) -> None:
    """Give the router each assignment; it takes what is newer than what it has."""
    wake = Wake()
    shared.view.subscribe(lambda: wake.ring() if _behind(router, shared.view.situation.assignment) else None)
    while True:
        if assignment := shared.view.situation.assignment:
            await router.apply(assignment)
        await wake.wait(LOOK_AGAIN_S)


def _behind(router: Router, assignment: Assignment | None) -> bool:
    return assignment is not None and (assignment.epoch, assignment.revision) > (router.epoch, router.revision)
