"""`proa check APP`: the declarations, what each route promises, and what about them will hurt in an outage."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from proa.app import App
from proa.cli.admission import rate
from proa.cli.dangers import Danger, dangers
from proa.cli.laws import judged
from proa.cli.output import OK, VIOLATED, print_json, print_table
from proa.declare.handlers import Route
from proa.local.plane import declared

_PROMISES = {
    "read": "any region answers, repeated freely",
    "global": "once, everywhere",
    "home": "once, at the row's home",
    "named": "once, at the home that its row names; where attempts name different homes both may run: ",
    "active": "once in the active region; what a fail-over cuts off is set aside and listed",
    "regional": "once in this region and wherever it is replicated; in two regions within the lag both may run: ",
}


def check(app: str, *, rtt_ms: float = 0.0, json: bool = False) -> int:
    """Check an app's declarations: routes, what they promise, its merges, and what will hurt in an outage.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        rtt_ms: the round trip between regions and to the global store; deadlines that it does not fit into are refused.
        json: print JSON.
    """
    found = declared(app)
    findings = dangers(found, rtt_ms)
    if json:
        print_json(_report(found) | {"dangers": findings})
    else:
        _print(found)
        _tell(findings)
    return VIOLATED if any(danger.verdict == "refused" for danger in findings) else OK


def promise(route: Route) -> str:
    """What repeating a request of this route does, in words."""
    if route.unit == "read":
        return _PROMISES["read"]
    if not route.idempotent:
        return "each request counts: no key, no replay"
    once = _PROMISES[_promised(route)]
    if once.endswith(": "):
        once += "handed to on_duplicate" if route.on_duplicate else "listed"
    return once if route.idempotent is True else f"with a key: {once}"


def _promised(route: Route) -> str:
    if {table.mode for table in route.writes()} == {"active"}:
        return "active"
    return "named" if route.unit == "home" and not route.decided_once else route.unit


def _report(app: App) -> dict[str, object]:
    return {
        "app": app.name,
        "topology": app.topology,
        "regions": app.regions,
        "active": app.active if app.topology == "active-passive" else None,
        "routes": [
            {
                "method": route.method,
                "path": route.path,
                "unit": route.unit,
                "idempotent": route.idempotent,
                "promise": promise(route),
            }
            for route in app.routes
        ],
        "tables": [{"name": table.name, "mode": table.mode, "key": table.key} for table in app.tables.values()],
        "throttles": [{"of": of, "allows": allows} for of, allows in _limits(app)],
        "checks": list(app.checks),
        "broken_merges": judged(app).broken,
    }


def _tell(findings: list[Danger]) -> None:
    for danger in findings:
        sys.stdout.write(
            f"\n{danger.verdict}: {danger.what} ({danger.code})\n  cause: {danger.cause}\n  fix:   {danger.fix}\n"
        )


def _print(app: App) -> None:
    sys.stdout.write(f"{app.name}: {app.topology} in {', '.join(app.regions)}\n\n")
    routes = [(route.method, route.path, route.unit, promise(route)) for route in app.routes]
    print_table(("METHOD", "PATH", "UNIT", "SAME KEY AGAIN"), routes)
    sys.stdout.write("\n")
    print_table(("TABLE", "MODE", "KEY"), [(table.name, table.mode, table.key) for table in app.tables.values()])
    if limits := list(_limits(app)):
        sys.stdout.write("\n")
        print_table(("THROTTLE OF", "ALLOWS"), limits)


def _limits(app: App) -> Iterator[tuple[str, str]]:
    """Every declared throttle, and each region's share of it."""
    yield from ((app.name, rate(app, throttle)) for throttle in app.front.throttles)
    yield from ((route.scope, rate(app, throttle)) for route in app.routes for throttle in route.throttles)
