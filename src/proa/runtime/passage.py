"""What goes to which region, where only some may hold some rows: both ends of a pull.

The giver passes what `core.residency` lets through. An origin of which it lacks something itself that the taker may
hold stops there, and the taker learns how far it went. The taker waits for somebody who has more; where an origin was
cut off for good and nobody within reach has more, it takes the rest as it is, keeps a list of these gaps, and asks
everybody for what is missing until it has that. So a fail-over never waits for what no survivor has, and whatever turns
up later still finds its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proa.core.replicate.snapshot import Page, gives, visible
from proa.core.replicate.stamp import Origin, Versions, region_of
from proa.core.residency import Gap, Passing, helping, passing
from proa.errors import LinkRefused
from proa.ports import RegionStore, Terms

GAPS_ASKED = 50
"""So many incomplete commits are asked for in one pull."""
ANY_EPOCH = 2**53


class Passage:
    """One region's side of it. `stuck` is how far each peer could go with the origins that stopped short.

    `gaps` is what was missing here when somebody was last asked.
    """

    def __init__(self, region: str, store: RegionStore, parts: Sequence[str] = ()) -> None:
        self._region = region
        self._store = store
        self._parts = parts
        self.stuck: dict[str, Versions] = {}
        self.gaps: list[Gap] = []
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

    async def helping(self, caller: str, gaps: Iterable[Gap]) -> list[bytes]:
        """Copies of commits that have something of what a peer lacks."""
        found = [(await self._store.journal({gap.origin: gap.seq - 1}, 1), gap) for gap in gaps]
        return helping([(entry, gap) for entries, gap in found for entry in entries], caller)

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

        Those that were given up, of which nobody who answers has more than is applied here. `reach` is how far each
        peer within reach can go.
        """
        own, others = self._store.cursors(), list(reach)
        found = {origin: given_up(origin, terms, [own, *others]) for origin in sorted(self.stuck.get(peer, {}))}
        return {
            origin: epoch
            for origin, epoch in found.items()
            if epoch and all(other.get(origin, 0) <= own.get(origin, 0) for other in others)
        }

    def stuck_regions(self) -> set[str]:
        """The regions of which some peer cannot give all commits: every other one is asked how far it can go."""
        return {region_of(origin) for stuck in self.stuck.values() for origin in stuck}

    async def lacking(self) -> list[Gap]:
        """What to ask for next: a stretch after the other, since some of it may never be found."""
        last = self.gaps[-1] if len(self.gaps) == GAPS_ASKED else Gap("", 0)
        self.gaps = await self._store.gaps(GAPS_ASKED, (last.origin, last.seq))
        return self.gaps

    async def fill(self, entries: Sequence[bytes]) -> int:
        """Take what others had of it; of how many commits."""
        return await self._store.fill(entries) if entries else 0


def given_up(origin: str, terms: Terms, known: Iterable[Versions]) -> int:
    """The epoch before which nobody waits for an origin's commits any more; 0 where it is waited for.

    It was cut off; or is held for a cut, up to a limit; or its region has begun another life, on a disk that may not
    have them.
    """
    region, life = Origin.parse(origin)
    lives = (Origin.parse(other) for cursors in known for other in cursors)
    if origin in terms.limits or any(other.region == region and other.incarnation > life for other in lives):
        return ANY_EPOCH
    return max((cut.epoch for cut in terms.cuts if cut.origin == origin), default=0)
