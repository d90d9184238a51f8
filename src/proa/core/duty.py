"""A region's duties: what the roles and the open plan ask of the region itself, decided by it from the situation.

The controller moves rows; nobody commands a region. Each one reads the same rows, does what they ask of it and reports
that in its beat, so a plan goes on whichever controller carries it.
"""

from __future__ import annotations

import msgspec

from proa.core.situation import Situation


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Admit no more `active` writes and flush: the right to write was revoked in `epoch`."""

    epoch: int


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Apply nothing more of these origins until a cut names them (none: apply everything)."""

    origins: frozenset[str]


class CatchUp(msgspec.Struct, frozen=True, tag=True):
    """Pull until the durable cursors cover `goal`, also of origins that are held."""

    plan: str
    goal: dict[str, int]


class Rejoin(msgspec.Struct, frozen=True, tag=True):
    """`epoch` began without this region: set aside what lies past its cut, begin a new life, catch up."""

    epoch: int


class StopBefore(msgspec.Struct, frozen=True, tag=True):
    """Say when nothing is committed any more under epochs older than `epoch`."""

    epoch: int


Duty = Drain | Hold | CatchUp | Rejoin | StopBefore


def duties(s: Situation, me: str, rejoined: int, stopped: int) -> list[Duty]:
    """What is asked of `me`; `rejoined` is the epoch for which it last rejoined, `stopped` what it last said so for.

    A region whose right was revoked in an older epoch than the present one was cut off: a plan went on without it.
    """
    if s.assignment is None:
        return []
    epoch, revoked = s.assignment.epoch, s.assignment.revoked.get(me)
    asked: list[Duty] = [Hold(held_origins(s, me))]
    if stopped < epoch:
        asked.append(StopBefore(epoch))
    if revoked is not None and revoked < epoch and rejoined < epoch:
        asked.append(Rejoin(epoch))
    if revoked is not None and revoked == epoch:
        asked.append(Drain(revoked))
    if s.plan and s.plan.step == "catch_up" and s.plan.target == me:
        asked.append(CatchUp(s.plan.id, s.plan.goal))
    return asked


def held_origins(s: Situation, me: str) -> frozenset[str]:
    """The origins being cut while a plan is between its fence and its promotion."""
    plan = s.plan
    if plan is None or plan.step not in ("fence", "catch_up") or plan.lost == me:
        return frozenset()
    return frozenset(plan.origins)
