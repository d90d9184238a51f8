"""What stands between a request and its handler: the stages in their order, and what each route of an app declares.

`proa explain admission APP` prints it; the reference's page is the same without an app.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import msgspec

from proa.app import App
from proa.core.policy.firewall import compiled
from proa.core.policy.slots import Concurrency
from proa.core.policy.throttle import Throttle
from proa.declare.admission import STAGES, StageSpec
from proa.declare.handlers import Route
from proa.runtime.stages.throttle import active_regions

EVERY = ("serving", "route", "deadline", "body", "unit")
"""Stages that every request passes."""


class Passage(msgspec.Struct, frozen=True):
    """One route's way: what each stage that it passes has to go by."""

    route: str
    stages: Mapping[str, str]


class Step(msgspec.Struct, frozen=True):
    """One stage, as it is told."""

    stage: str
    does: str
    why_here: str
    refuses_with: list[str]


def stages() -> list[Step]:
    """The stages in their order."""
    return [
        Step(spec.name, spec.does, spec.why, [f"{error.status} {error.code}" for error in spec.refuses])
        for spec in STAGES
    ]


def passages(app: App) -> list[Passage]:
    """The way of each route of an app."""
    return [Passage(route.scope, dict(_passed(app, route))) for route in app.routes]


def _passed(app: App, route: Route) -> Iterator[tuple[str, str]]:
    """The stages of a route, in their order, with what is declared for each."""
    told = {
        "firewall": ", ".join(f"{one.rule.name} ({one.rule.action})" for one in compiled(app.front.rules, body=False)),
        "throttle": _throttles(app, route, keyed=False),
        "authenticate": _demanded(app, route),
        "quota": _throttles(app, route, keyed=True),
        "concurrency": _slots(app, route),
        "inspect": ", ".join(one.rule.name for one in compiled(app.front.rules, body=True)),
    }
    for spec in STAGES:
        if spec.name in EVERY:
            yield spec.name, ""
        elif told.get(spec.name):
            yield spec.name, told[spec.name]


def _throttles(app: App, route: Route, *, keyed: bool) -> str:
    declared = (*app.front.throttles, *route.throttles)
    return "; ".join(rate(app, one) for one in declared if (one.per == "key") == keyed)


def rate(app: App, throttle: Throttle) -> str:
    """A throttle in words: what each region allows, and why it is that."""
    regions = active_regions(app)
    law = throttle.bucket(regions)
    part = "" if law.rate_per_s == throttle.rate_per_s else f" of {throttle.rate_per_s:g} in all"
    return f"{law.rate_per_s:g}/s{part} in each region per {throttle.per}, burst {law.burst:g}"


def _demanded(app: App, route: Route) -> str:
    if app.authentication is None or route.auth is None:
        return ""
    return "credentials, if sent, must be good" if route.auth == "optional" else "somebody known"


def _slots(app: App, route: Route) -> str:
    own = route.concurrency or app.front.concurrency
    return f"{_limit(own)}, priority {route.priority}" if own else ""


def _limit(declared: Concurrency) -> str:
    if declared.limit is not None:
        return f"{declared.limit} at once"
    return f"adaptive, {declared.limit_min} to {declared.limit_max} at once"


def diagram() -> str:
    """The stages as a diagram."""
    lines = ["flowchart TD"]
    for spec in STAGES:
        lines.append(f'    {spec.name}["{spec.name}<br/>{spec.does}"]')
        if spec.refuses:
            codes = "<br/>".join(f"{error.status} {error.code}" for error in spec.refuses)
            lines.append(f'    {spec.name} -. refuses .-> {spec.name}_no(["{codes}"])')
    lines += [f"    {one.name} --> {other.name}" for one, other in pairwise(STAGES)]
    return "\n".join(lines)


def markdown() -> str:
    """The reference's page."""
    table = "\n".join(f"| `{spec.name}` | {spec.does} | {spec.why} | {_refusals(spec)} |" for spec in STAGES)
    return PAGE.format(diagram=diagram(), table=table)


def _refusals(spec: StageSpec) -> str:
    return "<br>".join(f"{error.status} [{error.code}](errors.md)" for error in spec.refuses)


PAGE = """# Admission

Generated from [`declare/admission.py`](../../src/proa/declare/admission.py) by `python docs/reference/generate.py`.
`proa explain admission APP` prints which of these stages each route of an app passes, and what it declares for them.

A request passes them from top to bottom, whichever way it came in: raw ASGI, a mounted application, an event of Lambda.
A route has the stages that it declares something for; the others cost it nothing.

| stage | does | why it stands here | refuses with |
|---|---|---|---|
{table}

```mermaid
{diagram}
```
"""
