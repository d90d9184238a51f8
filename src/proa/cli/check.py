"""`proa check APP`: the declarations, what each route promises, and the laws of the app's merges."""

from __future__ import annotations

import sys

from proa.app import App
from proa.cli.dangers import Danger, dangers
from proa.cli.output import OK, VIOLATED, print_json, print_table
from proa.declare.handlers import Route
from proa.local.plane import declared

_PROMISES = {
    "read": "any region answers, repeated freely",
    "global": "once in all regions",
    "active": "once in the active region; what a fail-over cuts off is set aside and listed",
    "regional": "once in its region; two regions within the lag: detected and listed",
}


def check(app: str, *, json: bool = False) -> int:
    """Check an app's declarations: routes, what they promise, and its merges.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        json: print JSON.
    """
    found = declared(app)
    broken, findings = broken_merges(found), dangers(found)
    if json:
        print_json(_report(found, broken) | {"dangers": findings})
    else:
        _print(found, broken)
        _warn(findings)
    refused = broken or any(danger.verdict == "refused" for danger in findings)
    return VIOLATED if refused else OK


def promise(route: Route) -> str:
    """What repeating a request of this route does, in words."""
    if route.unit == "read":
        return _PROMISES["read"]
    if not route.idempotent:
        return "each request counts: no key, no replay"
    modes = {table.mode for table in route.writes()}
    once = _PROMISES["active" if modes == {"active"} else route.unit]
    return once if route.idempotent is True else f"with a key: {once}"


def broken_merges(app: App) -> dict[str, str]:
    """The tables whose merge breaks a law, and which; checked on many generated rows."""
    from proa.cli.laws import broken_law

    found = {name: broken_law(table) for name, table in app.tables.items() if table.mode == "any"}
    return {name: law for name, law in found.items() if law}


def _report(app: App, broken: dict[str, str]) -> dict[str, object]:
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
        "checks": list(app.checks),
        "broken_merges": broken,
    }


def _warn(findings: list[Danger]) -> None:
    for danger in findings:
        sys.stdout.write(f"\n{danger.verdict}: {danger.what}\n  cause: {danger.cause}\n  fix:   {danger.fix}\n")


def _print(app: App, broken: dict[str, str]) -> None:
    sys.stdout.write(f"{app.name}: {app.topology} in {', '.join(app.regions)}\n\n")
    routes = [(route.method, route.path, route.unit, promise(route)) for route in app.routes]
    print_table(("METHOD", "PATH", "UNIT", "SAME KEY AGAIN"), routes)
    sys.stdout.write("\n")
    print_table(("TABLE", "MODE", "KEY"), [(table.name, table.mode, table.key) for table in app.tables.values()])
    for name, law in broken.items():
        sys.stdout.write(f"\ntable {name}: its merge breaks a law: {law}\n")
