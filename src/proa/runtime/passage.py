"""What goes to which region, where only some may hold some rows: both ends of a pull.

The giver passes what `core.residency` lets through. An origin of which it lacks something itself that the taker may
hold stops there, and the taker learns how far it went. The taker waits for somebody who has more; where an origin was
cut off for good and nobody within reach has more, it takes the rest as it is, keeps a list of these gaps, and asks
everybody for whole copies until it has them. So a fail-over never waits for what no survivor has, and whatever turns up
later still finds its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proa.core.replicate.journal import Dot
from proa.core.replicate.snapshot import Page, gives, visible
from proa.core.replicate.stamp import Versions
from proa.core.residency import Passing, passing, whole
from proa.errors import LinkRefused
from proa.ports import RegionStore, Terms

GAPS_ASKED = 50
"""So many incomplete commits are asked for in one pull."""
ANY_EPOCH = 2**53


class Passage:
    """One region's side of it. `stuck` is how far each peer could go with the origins that stopped short."""

    def __init__(self, region: str, store: RegionStore, parts: Sequence[str] = ()) -> None:
        self._region = region
        self._store = store
        self._parts = parts
        self.stuck: dict[str, Versions] = {}
        self._told: dict[str, Versions] = {}

    # Giving.

    async def entries(self, caller: str, after: Versions, limit: int, settled: Versions) -> Passing:
        """The next entries for a peer. An origin that stops at once leaves its room to the others."""
        stuck: Versions = {}
        while True:
            wanted = {origin: seq for origin, seq in after.items() if origin not in stuck}
            entries, newly = passing(await self._store.journal(wanted, limit), caller, settled)
            stuck |= newly
            if entries or not newly:
                return Passing(entries, stuck)

    def news(self, caller: str, stuck: Versions) -> bool:
        """Whether a peer has yet to learn how far this region can go with what stopped short."""
        before, self._told[caller] = self._told.get(caller, {}), stuck
        return stuck != before

    async def whole(self, caller: str, dots: Iterable[Dot]) -> list[bytes]:
        """Those of these commits that are whole here, for a peer that lacks something of them."""
        found = [await self._store.journal({origin: seq - 1}, 1) for origin, seq in dots]
        return whole([entry for entries in found for entry in entries], caller)

    def page(self, caller: str, page: Page) -> Page:
        """What may go to a peer of a page of this region's snapshot.

        Raises:
            LinkRefused: this region may not hold all that the peer may, so its snapshot would tell of deletions.
        """
        if not gives(self._region, caller, self._parts):
            raise LinkRefused(f"{caller} may hold rows that {self._region} may not; ask a region that may")
        return visible(page, caller)

    # Taking.

    def settled(self, peer: str, terms: Terms, reach: Iterable[Versions]) -> Versions:
        """The origins whose commits this region takes from `peer` as they are, each with the epoch they are older than.

        Those that were cut off (or are held for a cut, whose limit was raised), of which nobody who answers has more
        than is applied here. `reach` is how far each peer within reach can go.
        """
        own = self._store.cursors()
        given_up = dict.fromkeys(terms.limits, ANY_EPOCH)
        for cut in terms.cuts:
            given_up[cut.origin] = max(given_up.get(cut.origin, 0), cut.epoch)
        furthest = list(reach)
        return {
            origin: given_up[origin]
            for origin in sorted(self.stuck.get(peer, {}))
            if origin in given_up and all(other.get(origin, 0) <= own.get(origin, 0) for other in furthest)
        }

    async def wanted(self) -> list[Dot]:
        """The incomplete commits to ask for."""
        return await self._store.gaps(GAPS_ASKED)

    async def fill(self, entries: Sequence[bytes]) -> int:
        """Put whole copies in the place of incomplete ones; how many were."""
        return await self._store.fill(entries) if entries else 0
