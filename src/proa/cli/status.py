"""`proa status`: a running system's regions, roles, lag and plan."""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from proa.cli.output import OK, print_json, print_table
from proa.cli.systems import look
from proa.core.roles import Assignment
from proa.errors import GlobalStoreUnreachable, ProaError
from proa.operate.reach import find, get
from proa.runtime.config import Address, ClusterConfig

_UNKNOWN: dict[str, Any] = {"assignment": None, "verdicts": {}, "plan": None, "stale": True}
"""What the control tables say where nobody can read them: the regions still speak for themselves."""


def status(*, state_dir: Path | None = None, json: bool = False) -> int:
    """Show a running system's regions, roles, lag and plan.

    Args:
        state_dir: the system's state directory; the one that runs below `.proa` unless given.
        json: print JSON.
    """
    config = find(state_dir)
    shown = overview(config)
    if json:
        print_json(shown)
    else:
        _print(shown)
    return OK


def overview(config: ClusterConfig) -> dict[str, Any]:
    """Everything that is known of the system, from its control tables and from each region itself."""
    try:
        control = msgspec.to_builtins(asyncio.run(look(config)))
    except GlobalStoreUnreachable:
        control = _UNKNOWN
    edge = config.nodes[config.node("edge")].http
    regions = {name: _asked(config.nodes[name].http) for name in config.regions()}
    return {"app": config.app, "state_dir": config.state_dir, "edge": f"http://{edge}", **control, "regions": regions}


def _asked(address: Address | None) -> dict[str, Any]:
    """What a region says of itself; how it failed where it says nothing."""
    assert address is not None
    try:
        said = get(address, "/_proa/status")
    except (OSError, http.client.HTTPException, ProaError) as error:
        said = {"unreachable": str(error) or type(error).__name__}
    return {"url": f"http://{address}", **said}


def _print(shown: dict[str, Any]) -> None:
    assignment = assignment_of(shown)
    epoch = f"epoch {assignment.epoch}, {assignment.topology}" if assignment else "epoch unknown"
    stale = ": the global store does not answer; roles are what the regions say" if shown["stale"] else ""
    sys.stdout.write(f"{shown['app']}, clients enter at {shown['edge']}\n")
    sys.stdout.write(f"{epoch}{stale}\n\n")
    print_table(("REGION", "ROLE", "VERDICT", "HEALTH", "HEAD", "BACKLOG", "LAG P99", "URL"), _rows(shown))
    sys.stdout.writelines(_insync(shown))
    sys.stdout.writelines(_doubled(shown))
    if plan := shown["plan"]:
        waiting = ", waiting for approval" if plan["awaiting"] else ""
        sys.stdout.write(f"\nplan {plan['id']}: {describe(plan)}: {plan['step']}{waiting}\n")


def _doubled(shown: dict[str, Any]) -> Iterator[str]:
    """Where keys that two regions finished wait for their handler."""
    for name, said in shown["regions"].items():
        counts = said.get("duplicates", {})
        if counts.get("waiting"):
            waiting, failing = counts["waiting"], counts["failing"]
            yield f"\n{name}: {waiting} doubled keys wait for on_duplicate, which fails for {failing} of them\n"


def _insync(shown: dict[str, Any]) -> Iterator[str]:
    """Who confirms each region's commits, where units acknowledge by peer."""
    for name, said in shown["regions"].items():
        if said.get("insync") is not None:
            yield f"{name} is confirmed by {', '.join(said['insync']) or 'nobody'}\n"


def assignment_of(shown: dict[str, Any]) -> Assignment | None:
    """The roles in a shown status."""
    return msgspec.convert(shown["assignment"], Assignment | None)


def describe(plan: dict[str, Any]) -> str:
    """`failover of eu-west-1 to us-east-1`."""
    lost = f" of {plan['lost']}" if plan["lost"] else ""
    target = f" to {plan['target']}" if plan["target"] else ""
    return f"{plan['kind']}{lost}{target}"


def _rows(shown: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    assignment = assignment_of(shown)
    roles = assignment.roles if assignment else {}
    for name, said in shown["regions"].items():
        figures = ("unreachable", "-", "-", "-") if "unreachable" in said else _figures(said)
        yield (name, roles.get(name) or said.get("role", "-"), shown["verdicts"].get(name, "-"), *figures, said["url"])


def _figures(said: dict[str, Any]) -> tuple[str, str, str, str]:
    health = said["health"] if said["ready"] else "not ready"
    failing = f" ({', '.join(said['failing'])})" if said["failing"] else ""
    backlog = sum(said["backlog"].values())
    return f"{health}{failing}", str(said["head"]), str(backlog), f"{said['lag_ms']['p99']:.1f} ms"
