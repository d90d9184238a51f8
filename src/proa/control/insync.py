"""The keeper of a region's in-sync set: carries out, one change at a time, what `core.insync` proposes.

A change is a compare-and-set of the region's own row. If its reply is lost it is asked for again under the same id
until its fate is known; until then only members that both rows name are counted.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from proa.control.events import InSyncChanged
from proa.control.ledger import STORE_AWAY, strong
from proa.control.parts import Parts
from proa.control.wake import Wake
from proa.core import insync
from proa.core.insync import Group, InSync
from proa.core.replicate.journal import Key
from proa.core.replicate.stamp import Versions
from proa.core.roles import INSYNC, ROLES, ROLES_KEY
from proa.errors import OutcomeUnknown
from proa.ports import Batch, Committed

LOOK_S = 0.5
_decode = msgspec.msgpack.Decoder(InSync).decode


class Confirming(Protocol):
    """What the region knows of its set, and how far its own lives are; see `runtime.confirm`."""

    @property
    def group(self) -> Group: ...
    def own(self) -> Versions: ...
    def take(self, group: Group) -> None: ...
    def learn(self, row: InSync, version: int) -> None: ...


class Keeper:
    """Keeps the set of one region. `run` goes on for ever; `step` does what is due now."""

    def __init__(self, region: str, confirming: Confirming, parts: Parts) -> None:
        self._key: Key = (INSYNC, region)
        self._region = region
        self._confirming = confirming
        self._parts = parts
        self._wake = Wake()
        self._sent: Batch | None = None
        self._unknown = False

    async def run(self) -> None:
        """Look twice a second, and whenever the store's row changed."""
        unsubscribe = self._parts.view.subscribe(self._learn)
        try:
            while True:
                await self.step()
                await self._wake.wait(LOOK_S)
        finally:
            unsubscribe()

    async def step(self) -> None:
        """Send what is to be changed, or ask again what became of it."""
        self._learn()
        batch = self._under_way() or self._next()
        if batch is None:
            return
        try:
            result = await self._parts.store.commit(batch)
            if isinstance(result, Committed):
                self._learned(result.seq)
            else:
                await self._refused()
        except STORE_AWAY as error:
            self._unanswered(error)

    def _learn(self) -> None:
        known = self._parts.view.situation.insync.get(self._region)
        if known:
            self._confirming.learn(known.row, known.version)

    def _under_way(self) -> Batch | None:
        """The change whose fate is not known, unless the row has told it meanwhile."""
        return self._sent if self._confirming.group.proposed else None

    def _next(self) -> Batch | None:
        group, parts = self._confirming.group, self._parts
        row = insync.proposal(group, self._confirming.own(), parts.clock.monotonic())
        if row is None:
            return None
        reads: dict[Key, int] = {self._key: group.version}
        if insync.admits(group, row):
            assignment = parts.view.situation.assignment
            if assignment is None or self._region in assignment.revoked:
                return None  # a plan that cuts this region off has heard, or will hear, the members as they are
            reads[ROLES, ROLES_KEY] = parts.view.situation.roles_version
        self._sent, self._unknown = Batch(parts.entropy.token(), reads, [strong(*self._key, row)]), False
        self._confirming.take(insync.proposing(group, row))
        return self._sent

    def _learned(self, version: int) -> None:
        """The change was made."""
        group = self._confirming.group
        row, before = group.proposed, set(group.members)
        if row is None:
            return  # the view was quicker
        self._confirming.learn(row, version)
        after = set(row.members)
        self._parts.telemetry.emit(
            InSyncChanged(row.origin, row.members, tuple(sorted(after - before)), tuple(sorted(before - after)))
        )

    async def _refused(self) -> None:
        """The change was not made and cannot be any more, unless the store has forgotten that it was: the row tells."""
        [found] = await self._parts.store.read([self._key])
        if found and found.value:
            self._confirming.learn(_decode(found.value), found.version)
        self._confirming.take(insync.withdrawn(self._confirming.group))
        await self._parts.view.poll(0)

    def _unanswered(self, error: Exception) -> None:
        """Ask again later under the same id; what certainly never left is forgotten."""
        self._unknown |= isinstance(error, OutcomeUnknown)
        if not self._unknown:
            self._confirming.take(insync.withdrawn(self._confirming.group))
