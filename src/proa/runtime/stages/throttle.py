"""The stages `throttle` and `quota`: a token of each bucket that is declared, or 429.

Buckets of the app are shared by its routes; those of a route are its own. The first that is empty decides about the
request; the client is told of those that were asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import ceil

import msgspec

from proa.app import App
from proa.core.policy.address import household
from proa.core.policy.throttle import PERS, Buckets, Per, Throttle, limit_item, policy_item
from proa.declare.handlers import Route
from proa.declare.http import Request
from proa.errors import TooManyRequests
from proa.ports import Clock
from proa.runtime.admission import Arrival, Maker, Stage
from proa.runtime.stages.client import clients

POLICY, LIMIT = "ratelimit-policy", "ratelimit"
KeyOf = Callable[[Request], str]


class Kept(msgspec.Struct, frozen=True):
    """A throttle with its buckets in this region, what they are called, and whose each is."""

    name: str
    per: Per
    buckets: Buckets
    key_of: KeyOf
    policy: str


def throttling(app: App, clock: Clock) -> Mapping[str, Maker]:
    """The makers of both stages. Those of `quota` are the buckets of principals."""
    keeper = _Keeper(app)
    shared = [keeper.kept(throttle, "app-" if throttle.per != "app" else "") for throttle in app.front.throttles]

    def maker(stage: str) -> Maker:
        def made(route: Route) -> Stage | None:
            own = [keeper.kept(throttle) for throttle in route.throttles]
            wanted = [kept for kept in (*shared, *own) if (kept.per == "key") == (stage == "quota")]
            return _stage(wanted, clock) if wanted else None

        return made

    return {stage: maker(stage) for stage in ("throttle", "quota")}


def active_regions(app: App) -> int:
    """Among how many regions the traffic is shared."""
    return len(app.regions) if app.topology == "active-active" else 1


class _Keeper:
    """Makes buckets for the throttles of an app."""

    def __init__(self, app: App) -> None:
        self._regions = active_regions(app)
        client = clients(app)
        self._key_of: Mapping[str, KeyOf] = {
            "client": lambda request: household(client(request)),
            "key": lambda request: _who(request) or household(client(request)),
            "route": lambda _request: "",
            "app": lambda _request: "",
        }

    def kept(self, throttle: Throttle, prefix: str = "") -> Kept:
        law, name = throttle.bucket(self._regions), prefix + throttle.per
        return Kept(name, throttle.per, Buckets(law), self._key_of[throttle.per], policy_item(name, law))


def _who(request: Request) -> str:
    """The principal; marked, so that nobody is taken for an address."""
    return f"={request.principal.owner}" if request.principal else ""


def _stage(wanted: Iterable[Kept], clock: Clock) -> Stage:
    # The narrowest first, and no further than the first that is empty: whoever is over its own limit must not use up
    # what it shares with others.
    kept = tuple(sorted(wanted, key=lambda each: PERS.index(each.per)))
    policy = (POLICY, ", ".join(each.policy for each in kept))

    def stage(arrival: Arrival) -> None:
        now, request = clock.monotonic(), arrival.request
        told: list[str] = []
        refused = None
        for each in kept:
            taken = each.buckets.take(each.key_of(request), now)
            told.append(limit_item(each.name, each.buckets.law, taken))
            if taken < 0:
                refused = _too_many(each.name, -taken)
                break
        arrival.told += (policy, (LIMIT, ", ".join(told)))
        if refused:
            raise refused

    return stage


def _too_many(name: str, wait_s: float) -> TooManyRequests:
    return TooManyRequests(f"more requests than the limit `{name}` allows", headers={"retry-after": str(ceil(wait_s))})
