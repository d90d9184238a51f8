"""The stages `firewall` and `inspect`: the app's rules, before the body is read and with it."""

from __future__ import annotations

from collections.abc import Mapping

from proa.app import App
from proa.core.policy.firewall import compiled
from proa.declare.handlers import Route
from proa.errors import Blocked
from proa.ports import Telemetry
from proa.runtime.admission import Arrival, Maker, Stage
from proa.runtime.events import RuleMatched
from proa.runtime.stages.client import clients, countries


def walls(app: App, telemetry: Telemetry) -> Mapping[str, Maker]:
    """The makers of both stages."""
    return {
        "firewall": _maker(app, telemetry, body=False),
        "inspect": _maker(app, telemetry, body=True),
    }


def _maker(app: App, telemetry: Telemetry, *, body: bool) -> Maker:
    rules = compiled(app.front.rules, body=body)
    client_of, country_of = clients(app), countries(app)

    def stage(arrival: Arrival) -> None:
        request = arrival.request
        client = client_of(request)
        country = country_of(request)
        for one in rules:
            if one.matches(request, client, country):
                blocked = one.rule.action == "block"
                telemetry.emit(RuleMatched(one.rule.name, arrival.route.scope, client, blocked))
                if blocked:
                    raise Blocked(f"rule `{one.rule.name}`")

    def made(_route: Route) -> Stage | None:
        return stage if rules else None

    return made
