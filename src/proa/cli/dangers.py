"""Combinations of declarations that cannot keep what they promise: refused, or warned of, with cause and fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from proa.app import App


class Danger(msgspec.Struct, frozen=True):
    """One finding: `refused` must be changed, `warned` may be meant."""

    verdict: Literal["refused", "warned"]
    what: str
    cause: str
    fix: str


def dangers(app: App) -> list[Danger]:
    """Everything about the declarations of `app` that will hurt in an outage."""
    return [*_witness(app), *_lease(app), *_loss(app), *_mixed(app)]


def _witness(app: App) -> Iterator[Danger]:
    if app.failover == "automatic" and len(app.regions) == 2 and app.witness is None:
        yield Danger(
            "refused",
            "automatic fail-over between two regions without a witness",
            "when the link between them is cut, each sees the other as lost, and nobody can tell who is right",
            "declare where the witness lives: App(..., witness=...), outside both regions",
        )


def _lease(app: App) -> Iterator[Danger]:
    rto_s = app.objectives.rto_s
    if app.topology == "active-passive" and rto_s is not None and app.lease_s >= rto_s:
        yield Danger(
            "warned",
            f"lease_s={app.lease_s:g} is not below rto_s={rto_s:g}",
            "a region that cannot be reached is replaced only when its lease has run out",
            f"declare a lease of about {rto_s / 3:.2g} s, or a larger rto_s",
        )


def _loss(app: App) -> Iterator[Danger]:
    for route in app.routes:
        lagging = sorted(table.name for table in route.writes() if table.mode != "strong")
        if lagging and (route.objectives or app.objectives).rpo_s == 0:
            yield Danger(
                "warned",
                f"{route.scope} promises rpo_s=0, but {', '.join(lagging)} replicate after the answer",
                "what a lost region had acknowledged and not yet replicated is missing until its disk returns",
                "keep rows that must survive a region in `strong` tables, or give the route an rpo_s above the lag",
            )


def _mixed(app: App) -> Iterator[Danger]:
    for route in app.routes:
        modes = {table.mode for table in route.writes()}
        if "strong" in modes and len(modes) > 1:
            yield Danger(
                "refused",
                f"{route.scope} writes strong tables and {', '.join(sorted(modes - {'strong'}))} ones",
                "a unit commits in exactly one store, so one of the writes is refused at run time",
                "split the handler, or give the tables the same kind of mode",
            )
