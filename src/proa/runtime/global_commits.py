"""Commits in the global store: each rests on the roles, so a region that was fenced since cannot make one."""

from __future__ import annotations

import msgspec

from proa.core.queue import OUTBOX
from proa.core.roles import ROLES, ROLES_KEY, Assignment
from proa.errors import RegionFenced
from proa.ports import Batch, Conflict, Fenced, GlobalStore, Result
from proa.runtime.authority import Authority
from proa.runtime.unit import Outbound

ROLES_ADDRESS = (ROLES, ROLES_KEY)
_decode_roles = msgspec.msgpack.Decoder(Assignment).decode


class GlobalCommits:
    """Those of one region. `outbound` is told of messages that they leave in the global store."""

    def __init__(self, region: str, store: GlobalStore, authority: Authority) -> None:
        self._region = region
        self._store = store
        self._authority = authority
        self._roles_version = 0
        self.outbound: Outbound | None = None

    async def commit(self, batch: Batch) -> Result:
        """Commit, unless this region has lost its right to; a Conflict may be that of the roles."""
        if refused := self._authority.refusal():
            return refused
        batch.reads = {**batch.reads, ROLES_ADDRESS: self._roles_version}
        try:
            result = await self._store.commit(batch)
        finally:
            if self.outbound and any(write.table == OUTBOX for write in batch.writes):
                self.outbound.left()  # perhaps: the reply may be lost
        if isinstance(result, Conflict) and tuple(result.key) == ROLES_ADDRESS:
            return await self._recheck_roles(result)
        return result

    async def _recheck_roles(self, conflict: Conflict) -> Result:
        """The roles changed: learn the new version, and whether this region may still commit; then run again."""
        row = (await self._store.read([ROLES_ADDRESS]))[0]
        if row and row.value and self._region in _decode_roles(row.value).revoked:
            return Fenced(RegionFenced.code, f"{self._region} lost its right to commit")
        self._roles_version = row.version if row else 0
        return conflict

    def note_roles(self, assignment: Assignment | None, version: int) -> None:
        """Rest commits on these roles, which the control plane brought: none has to lose a race for them.

        Not where they took this region's right to commit; a commit that rests on older ones meets that in the store.
        """
        if assignment and version > self._roles_version and self._region not in assignment.revoked:
            self._roles_version = version
