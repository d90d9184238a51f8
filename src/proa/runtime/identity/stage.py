"""The stage `authenticate` of admission: who asks, and whether the route lets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proa.core.identity.principal import Principal
from proa.declare.handlers import Route
from proa.declare.identity import Requirement
from proa.errors import Forbidden
from proa.ports import Telemetry
from proa.runtime.admission import Arrival, Stage
from proa.runtime.identity.authenticator import Authenticator, realm_of
from proa.runtime.identity.events import PrincipalForbidden


def maker(authenticator: Authenticator, realm: str, telemetry: Telemetry) -> Callable[[Route], Stage | None]:
    """Makes the stage for each route that does not let everybody in."""

    def make(route: Route) -> Stage | None:
        if route.auth is None:
            return None
        if route.auth == "optional":
            return _optional(authenticator)
        return _demanding(authenticator, route.auth, _Door(route.scope, realm, telemetry))

    return make


class _Door:
    """Says no to a principal, in one route's name."""

    def __init__(self, route: str, realm: str, telemetry: Telemetry) -> None:
        self._route = route
        self._realm = realm_of(realm)
        self._telemetry = telemetry

    def closed(self, demanded: Requirement, lacking: str) -> Forbidden:
        self._telemetry.emit(PrincipalForbidden(self._route))
        named = f', scope="{" ".join(sorted(demanded.scopes))}"' if demanded.scopes else ""
        challenge = f'Bearer realm="{self._realm}", error="insufficient_scope"{named}'
        return Forbidden(f"{self._route} needs {lacking}", headers={"www-authenticate": challenge})


def _demanding(authenticator: Authenticator, demanded: Requirement, door: _Door) -> Stage:
    def let_in(arrival: Arrival, principal: Principal) -> None:
        if lacking := demanded.lacks(principal):
            raise door.closed(demanded, lacking)
        arrival.request.principal = principal

    async def wait(arrival: Arrival, found: Awaitable[Principal]) -> None:
        let_in(arrival, await found)

    def stage(arrival: Arrival) -> Awaitable[None] | None:
        found = authenticator.principal(arrival.request)
        if isinstance(found, Principal):
            let_in(arrival, found)
            return None
        return wait(arrival, found)

    return stage


def _optional(authenticator: Authenticator) -> Stage:
    async def stage(arrival: Arrival) -> None:
        if authenticator.presents(arrival.request.headers):
            arrival.request.principal = await authenticator.authenticate(arrival.request)

    return stage
