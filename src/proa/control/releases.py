"""Releasing an in-sync set, under `/_proa/control/insync`: what a person may do where members are gone for good.

A new life of a region's disk must have all that its earlier life's members have before it counts anybody. If one of
them lost its disk, too, nobody can say what it had, and the region would refuse such units for ever. A person may then
take what was only there for lost: one asks, explicitly, a second one approves, and both are in the audit log. The row
changes by compare-and-set, so nothing is released but what was asked about.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proa.control.api import Call
from proa.control.ledger import strong, with_entry
from proa.control.parts import Parts
from proa.core import insync
from proa.core.failover import Change
from proa.core.insync import InSync, Release
from proa.core.replicate.journal import Key
from proa.core.roles import INSYNC, RELEASES, Node
from proa.core.situation import Situation
from proa.errors import ApprovalRefused, Contended, NotFound, PlanRefused, UnsafePlan
from proa.ports import Batch, Committed

RACES_MAX = 5


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a set is to be released; `accept_loss` says that what only its members had may be lost."""

    why: str = ""
    accept_loss: bool = False


class Releases:
    """Answers the calls about in-sync sets."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, call: Call) -> Any:
        match call.method, call.path[1:]:
            case "GET", ():
                return await self.every()
            case "POST", (region, "release"):
                return await self.request(call.need("operator").name, region, call.read(Wish))
            case "POST", (region, "approve"):
                return await self.approve(call.need("approver").name, region)
            case _:
                raise NotFound(f"the control API of in-sync sets has no {call.method} of {'/'.join(call.path[1:])!r}")

    async def every(self) -> dict[str, Any]:
        """Each region's set, its members that are gone, and what was asked of it."""
        s = await self._parts.view.newest()
        wishes = {region: await self._wish(region) for region in sorted(s.insync)}
        return {"sets": [_shown(s, region, wish) for region, (wish, _) in wishes.items()]}

    async def request(self, by: str, region: str, wish: Wish) -> dict[str, Any]:
        """Ask for a release.

        Raises:
            PlanRefused: nobody is gone, or the region is in the life that the set belongs to.
            UnsafePlan: the loss was not accepted.
        """
        for _ in range(RACES_MAX):
            s = await self._parts.view.newest()
            row, version = _releasable(s, region)
            if not wish.accept_loss:
                lost = ", ".join(insync.gone(row, _lives(s)))
                raise UnsafePlan(f"what only {lost} had of {row.origin} would be lost; accept that with --accept-loss")
            release = Release(row.origin, row.members, version, by, wish.why)
            _, at = await self._wish(region)
            batch = Batch(self._parts.entropy.token(), {(RELEASES, region): at}, [strong(RELEASES, region, release)])
            if await self._commit(s, batch, by, "release of an in-sync set asked for", _detail(region, release)):
                return _shown(await self._parts.view.newest(), region, release)
        raise Contended("the request was not recorded: the control tables kept changing")

    async def approve(self, by: str, region: str) -> dict[str, Any]:
        """Release the set as it was asked for.

        Raises:
            NotFound: nobody asked.
            ApprovalRefused: the approver asked for it, or it is another set by now.
            PlanRefused: it is not to be released any more.
        """
        for _ in range(RACES_MAX):
            s = await self._parts.view.newest()
            release, at = await self._wish(region)
            if release is None:
                raise NotFound(f"nobody has asked to release the set of {region}")
            if release.by == by:
                raise ApprovalRefused(f"{by} asked for it; a second person must approve it")
            row, version = _releasable(s, region)
            if version != release.version:
                raise ApprovalRefused(f"the set of {region} is not the one that was asked about; ask again")
            reads: dict[Key, int] = {(INSYNC, region): version, (RELEASES, region): at}
            writes = [strong(INSYNC, region, insync.released(row)), strong(RELEASES, region, None)]
            batch = Batch(self._parts.entropy.token(), reads, writes)
            if await self._commit(s, batch, by, "in-sync set released", _detail(region, release)):
                return _shown(await self._parts.view.newest(), region, None)
        raise Contended("the approval was not recorded: the control tables kept changing")

    # Leaves.

    async def _wish(self, region: str) -> tuple[Release | None, int]:
        """What was asked of a region's set, and the version of that."""
        [row] = await self._parts.store.read([(RELEASES, region)])
        return (
            msgspec.msgpack.decode(row.value, type=Release) if row and row.value else None
        ), row.version if row else 0

    async def _commit(self, s: Situation, batch: Batch, by: str, action: str, detail: dict[str, str]) -> bool:
        entry = with_entry(s, batch, by, Change(action, detail=detail))
        return isinstance(await self._parts.store.commit(entry), Committed)


def _lives(s: Situation) -> dict[str, Node]:
    """What each region said last of the life that it is in."""
    return {name: known.node for name, known in s.nodes.items()}


def _releasable(s: Situation, region: str) -> tuple[InSync, int]:
    insured = s.insync.get(region)
    if why := insync.obstacle(insured.row if insured else None, region, _lives(s)):
        raise PlanRefused(why)
    assert insured
    return insured.row, insured.version


def _detail(region: str, release: Release) -> dict[str, str]:
    members = ", ".join(release.members)
    return {"region": region, "origin": release.origin, "members": members, "why": release.why}


def _shown(s: Situation, region: str, release: Release | None) -> dict[str, Any]:
    row, lives = s.insync[region].row, _lives(s)
    return {
        "region": region,
        "origin": row.origin,
        "life": lives[region].origin if region in lives else "",
        "members": row.members,
        "gone": insync.gone(row, lives),
        "asked_by": release.by if release else "",
        "why": release.why if release else "",
    }
