"""Freshness in one region: what its peers had committed at a moment is here, or it says that it cannot tell.

Every pull vouches for the peer that it asked (`core.freshness`), so as a rule nothing has to be asked. Where the last
vouching is older than a read allows, the peers concerned are asked for their cursors, and the read waits until those
are applied here. A peer that does not answer counts, unless the global store confirms that a plan went on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import msgspec

from proa.core.freshness import NEVER, Mark, Vouch, counting, heard, owed, settled
from proa.core.replicate.stamp import Versions, covers
from proa.core.roles import ROLES, ROLES_KEY, Assignment
from proa.errors import LinkDown, LinkRefused, LinkTimeout, StaleRead, Unavailable
from proa.ports import Clock, GlobalStore, Link, RegionStore
from proa.runtime.authority import Authority

ASK_TIMEOUT_S = 0.5
RETRY_S = 0.05
_decode_roles = msgspec.msgpack.Decoder(Assignment).decode


class Freshness:
    """What one region can vouch for. The replicator reports its pulls; reads at level `bounded` wait."""

    def __init__(
        self,
        region: str,
        peers: Sequence[str],
        stores: tuple[RegionStore, GlobalStore],
        link: Link,
        clock: Clock,
        authority: Authority,
    ) -> None:
        self._region = region
        self._peers = tuple(peers)
        self._store, self._global = stores
        self._link = link
        self._clock = clock
        self._authority = authority
        self._vouches = dict.fromkeys(self._peers, Vouch())
        self._asking: dict[str, tuple[float, asyncio.Future[bool]]] = {}
        self._roles: Assignment | None = None
        self._roles_at = NEVER

    def heard(self, peer: str, asked_at: float, cursors: Versions) -> None:
        """A peer answered a question that had left at `asked_at` (monotonic) with its durable cursors."""
        self._vouches[peer] = heard(self._vouches[peer], Mark(asked_at, cursors), self._store.cursors())

    def since(self, peer: str) -> float:
        """All that a peer had by this moment (monotonic) is applied here."""
        vouch = self._vouches[peer] = settled(self._vouches[peer], self._store.cursors())
        return vouch.since

    async def reach(self, mode: str, within_s: float, until: float) -> None:
        """Return once everything is here that counts for tables of `mode` and was committed `within_s` ago.

        Raises:
            StaleRead: that was not so by `until` (monotonic).
        """
        since = self._clock.monotonic() - within_s
        while not self._reached(mode, since):
            left_s = until - self._clock.monotonic()
            if left_s <= 0:
                raise StaleRead(self._told(mode, since, within_s))
            await self._learn(mode, since, left_s)

    def _reached(self, mode: str, since: float) -> bool:
        counted = self._counted(mode, since)
        if any(self.since(peer) < since for peer in counted):
            return False
        return covers(self._store.cursors(), owed((self._region, *counted), self._in_force(since)))

    def _counted(self, mode: str, since: float) -> tuple[str, ...]:
        return counting((self._region, *self._peers), self._region, mode, self._in_force(since))

    def _in_force(self, since: float) -> Assignment | None:
        """The assignment, where it is certain that it was in force at `since` or later."""
        return self._roles if self._roles_at >= since else None

    async def _learn(self, mode: str, since: float, left_s: float) -> None:
        """Ask whoever may know more; where all have answered, wait until what they have arrives."""
        known = self._in_force(since) or self._authority.assignment
        likely = counting((self._region, *self._peers), self._region, mode, known)
        late = [peer for peer in self._peers if self.since(peer) < since]
        questions: list[Awaitable[bool]] = [
            self._ask(peer, since, left_s) for peer in late if peer in likely and not self._answered(peer, since)
        ]
        if self._roles_at < since and any(peer not in likely for peer in late):
            questions.append(self._confirm())
        if not questions:
            await self._store.changed(self._store.cursors(), left_s)
        elif not any(await asyncio.gather(*questions)):
            await self._clock.sleep(min(left_s, RETRY_S))

    def _answered(self, peer: str, since: float) -> bool:
        """Whether a peer told at `since` or later what it has, and that is still on its way."""
        return any(each.asked_at >= since for each in self._vouches[peer].marks)

    async def _ask(self, peer: str, since: float, left_s: float) -> bool:
        """Ask one peer for its cursors, once for all who want to know; whether it answered."""
        asked_at, question = self._asking.get(peer, (NEVER, None))
        if question is None or question.done() or asked_at < since:
            asked_at = self._clock.monotonic()
            question = asyncio.ensure_future(self._question(peer, asked_at))
            self._asking[peer] = asked_at, question
        done, _ = await asyncio.wait([question], timeout=left_s)
        return bool(done) and question.result()

    async def _question(self, peer: str, asked_at: float) -> bool:
        try:
            cursors: Versions = await self._link.call(peer, "cursors", None, timeout_s=ASK_TIMEOUT_S)
        except (LinkDown, LinkTimeout, LinkRefused):
            return False
        self.heard(peer, asked_at, cursors)
        return True

    async def _confirm(self) -> bool:
        """Learn from the global store which assignment is in force; whether it told."""
        asked_at = self._clock.monotonic()
        try:
            row = (await self._global.read([(ROLES, ROLES_KEY)]))[0]
        except Unavailable:
            return False
        if row and row.value:
            self._roles, self._roles_at = _decode_roles(row.value), asked_at
        return True

    def _told(self, mode: str, since: float, within_s: float) -> str:
        """Why a read is refused: the peer that this region knows least of."""
        oldest, peer = min(((self.since(peer), peer) for peer in self._counted(mode, since)), default=(NEVER, ""))
        age = "nothing vouches for" if oldest == NEVER else f"{self._clock.monotonic() - oldest:.1f} s old is"
        return f"{age} what {self._region} has of {peer or 'regions that were cut off'}; the read allows {within_s:g} s"
