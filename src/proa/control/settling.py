"""Settling lost writes: what people decided of each, kept in the global store with an entry in the audit log.

A lost write is listed by every region that set it aside, so the decision about it belongs to none of them. It is one
control row per commit, made by compare-and-set: the first decision stands, and repeating it changes nothing. Reapplying
is claimed for one region before that region commits, and marked as done after.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from proa.control.ledger import strong, with_entry
from proa.control.parts import Parts
from proa.core.failover import Change
from proa.core.replicate.records import Parked
from proa.errors import Contended, SettlingRefused
from proa.ports import Batch, Committed
from proa.runtime.reapply import Reapply
from proa.runtime.records import named

SETTLED = "~settled"
"""Key: a commit's dot. Value: `Settled`."""
RACES_MAX = 10


class Settled(msgspec.Struct, frozen=True):
    """What was decided of a lost write. `region` and `unit` are those that wrote it again, once it is `done`."""

    dot: str
    how: Literal["dismissed", "reapplied"]
    by: str
    why: str
    at_s: float
    region: str = ""
    unit: str = ""
    done: bool = True


_decode_settled = msgspec.msgpack.Decoder(Settled).decode


class Settling:
    """Decisions about lost writes, taken at one region."""

    def __init__(self, me: str, parts: Parts, reapply: Reapply) -> None:
        self._me = me
        self._parts = parts
        self._reapply = reapply

    async def every(self) -> dict[str, Settled]:
        """What was decided so far, by dot."""
        rows = await self._parts.store.scan(SETTLED)
        return {row.key: _decode_settled(row.value) for row in rows if row.value is not None}

    async def dismiss(self, dot: str, by: str, why: str) -> Settled:
        """Mark a lost write as one that needs nothing more.

        Raises:
            SettlingRefused: it was written again.
        """
        return await self._decide(Settled(dot, "dismissed", by, why, self._now_s()))

    async def reapply(self, parked: Parked, by: str, why: str, *, force: bool) -> Settled:
        """Write a lost commit's rows again in this region; a repeated call finishes what one before began.

        Raises:
            SettlingRefused: a row was written since (unless forced), or it was settled otherwise.
            NotActive: only the active region may write these rows.
        """
        dot = named(parked.commit)
        known = (await self.every()).get(dot)
        if known is None or not known.done:
            await self._reapply.check(parked, force=force)
        claim = Settled(dot, "reapplied", by, why, self._now_s(), self._me, done=False)
        claimed = await self._decide(claim, take_over=force)
        if claimed.done:
            return claimed
        unit = await self._reapply(parked, force=force)
        return await self._put(replace(claimed, unit=unit, done=True), "lost write reapplied")

    async def _decide(self, wanted: Settled, *, take_over: bool = False) -> Settled:
        """The decision as it stands, which is `wanted` if nobody decided before."""
        known = (await self.every()).get(wanted.dot)
        if known is None:
            return await self._put(wanted, "lost write " + ("dismissed" if wanted.done else "to be reapplied"))
        if known.how != wanted.how:
            raise SettlingRefused(f"{wanted.dot} was {known.how} by {known.by}: {known.why or 'no reason given'}")
        if known.done or known.region == self._me:
            return known
        if not take_over:
            raise SettlingRefused(f"{wanted.dot} is being reapplied in {known.region}; ask there")
        return await self._put(wanted, "lost write to be reapplied")

    async def _put(self, settled: Settled, action: str) -> Settled:
        """Write a decision and its audit entry in one transaction; the row rests on what is known of it."""
        parts = self._parts
        detail = {"dot": settled.dot, "why": settled.why} | ({"unit": settled.unit} if settled.unit else {})
        for _ in range(RACES_MAX):
            situation = await parts.view.newest()
            (row,) = await parts.store.read([(SETTLED, settled.dot)])
            if row and row.value and (known := _decode_settled(row.value)).done:
                return known
            reads = {(SETTLED, settled.dot): row.version if row else 0}
            batch = Batch(parts.entropy.token(), reads, [strong(SETTLED, settled.dot, settled)])
            entry = with_entry(situation, batch, settled.by, Change(action, detail=detail))
            if isinstance(await parts.store.commit(entry), Committed):
                return settled
        raise Contended(f"the decision about {settled.dot} was not recorded: the control tables kept changing")

    def _now_s(self) -> float:
        return self._parts.view.situation.now_s(self._parts.clock.monotonic())
