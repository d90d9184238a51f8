"""Who sent a request, as far as its address tells."""

from __future__ import annotations

from collections.abc import Callable

from proa.app import App
from proa.core.policy.address import client_of, networks, within
from proa.declare.http import Request

FORWARDED = "x-forwarded-for"


def clients(app: App) -> Callable[[Request], str]:
    """A function that tells the address of a request's client, past the proxies that the app trusts."""
    trusted = networks(app.front.trusted_proxies, "behind")
    return lambda request: client_of(request.peer, request.headers.get(FORWARDED, ""), trusted)


def countries(app: App) -> Callable[[Request], str]:
    """A function that tells the country of a request's client, as a trusted proxy says; empty where none does."""
    trusted = networks(app.front.trusted_proxies, "behind")
    header = app.front.country_header

    def country(request: Request) -> str:
        said = request.headers.get(header, "") if header else ""
        return said.upper() if said and within(request.peer, trusted) else ""

    return country


def tenant(request: Request, client: str) -> str:
    """Whom fairness counts a request to: the tenant or principal that authentication found, else the client."""
    principal = request.principal
    return (principal.tenant or principal.owner) if principal else client
