"""Effects of unknown outcome: what a person is shown of them, and what a person says became of them.

What is said is written over the claim as it was read, with an owner of its own: an attempt that comes to life after it
finds that it was overtaken. A claim under a place is settled by the region that acts for that place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from proa.core.effect import EFFECTS, PARKED, SEPARATOR, Claim
from proa.core.queue import LAST
from proa.declare.codec import json_decoder, readable
from proa.declare.effects import Effect
from proa.errors import EffectInFlight, GlobalStoreUnreachable, NotFound, NotHome, of_code
from proa.ports import Committed, Fenced, Span
from proa.runtime.effects import Desk, Effects, claim_of, decode_claim
from proa.runtime.errands import Ends

LIMIT = 1000


class Told(msgspec.Struct, frozen=True):
    """An effect as people are shown it. `result` is there where it is done; times are in seconds since 1970.

    `store` says where the claim is kept: in the `regional` or the `global` store. `here`: this region may settle it.
    """

    key: str
    effect: str
    state: str
    unit: str
    work: str
    ordinal: int
    region: str
    at: float
    until: float
    attempts: int
    arguments: Any
    result: Any
    said: str
    resolved_by: str
    store: str
    here: bool


class Parked:
    """The effects of a region's store, and of the global one."""

    def __init__(self, declared: Mapping[str, Effect[..., Any]], effects: Effects) -> None:
        self._declared = declared
        self._effects = effects

    @property
    def _ends(self) -> Ends:
        return self._effects.ends

    async def listed(self, *, every: bool = False) -> list[Told]:
        """Those that wait for a person, or `every` claim that is kept."""
        table = EFFECTS if every else PARKED
        span = Span(table, ("", ""), ("", LAST), LIMIT, self._ends.clock.now())
        found = [(row.key, row.value, False) for row in await self._ends.store.query(span)]
        try:
            found += [(row.key, row.value, True) for row in await self._effects.globally.query(span)]
        except GlobalStoreUnreachable:
            if not found:
                raise
        return [self._told(key, decode_claim(value), globally=one) for key, value, one in found if value is not None]

    async def shown(self, key: str) -> Told:
        """One effect; NotFound where there is none."""
        claim, _, desk = await self._find(key)
        return self._told(key, claim, globally=desk.globally)

    def _told(self, key: str, claim: Claim, *, globally: bool) -> Told:
        effect = self._declared.get(claim.name)
        return Told(
            key=key,
            effect=claim.name,
            state=claim.state,
            unit=claim.unit,
            work=claim.work.replace(SEPARATOR, " "),
            ordinal=claim.ordinal,
            region=claim.region,
            at=claim.at,
            until=claim.until,
            attempts=claim.attempts,
            arguments=msgspec.json.decode(claim.arguments),
            result=readable(effect.decode, claim.result) if effect and claim.state == "done" else None,
            said=claim.said,
            resolved_by=claim.resolved_by,
            store="global" if globally else "regional",
            here=claim.place is None or self._ends.may(claim.place),
        )

    async def _find(self, key: str) -> tuple[Claim, int, Desk]:
        """A claim, the version of its row, and where it is kept."""
        ends = self._ends
        for store, globally in ((ends.store, False), (self._effects.globally, True)):
            (row,) = await store.read([(EFFECTS, key)])
            if row and (claim := claim_of(row, ends.clock.now())):
                return claim, row.version, Desk(ends, store, claim.place, globally=globally)
        raise NotFound(f"{ends.region} knows no effect {key}")

    async def resolve(self, key: str, by: str, result: bytes | None) -> Told:
        """Say that an effect was done, with its result as JSON, or (None) that it was not; the next attempt goes on.

        Raises:
            NotFound: there is no such effect, or this app declares it no longer.
            EffectInFlight: an attempt may be at work on it still, or it was settled meanwhile.
            NotHome: another region acts for the unit that called it.
            Unprocessable: the result is none of this effect.
        """
        claim, version, desk = await self._find(key)
        if (effect := self._declared.get(claim.name)) is None:
            raise NotFound(f"effect {claim.name} is not declared any more")
        if claim.state == "done" or (claim.state == "begun" and self._effects.may_be_at_work(claim)):
            raise EffectInFlight(f"{key} is {claim.state}")
        if claim.place and not self._ends.may(claim.place):
            raise NotHome(f"{self._ends.authority.home_of(claim.place) or 'no region'} acts for {key}")
        owner, settled = self._ends.entropy.token(), None
        if result is not None:
            value = effect.encode(json_decoder(effect.kind)(result))
            settled = replace(claim, owner=owner, state="done", result=value, resolved_by=by)
        match await desk.write(key, version, settled):
            case Committed():
                gone = replace(claim, owner=owner, said="said not to be done", resolved_by=by)
                return self._told(key, settled or gone, globally=desk.globally)
            case Fenced(code, detail):
                raise of_code(code, detail)
            case _:
                raise EffectInFlight(f"{key} was settled meanwhile")
