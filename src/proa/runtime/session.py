"""Sessions in one region: a request with the header `proa-session` reads nothing older than its client has seen.

`begin` waits until this region has applied what the token names; the request's unit then notes what it reads and where
it committed; `mark` gives the answer a new token. Requests without the header never come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import msgspec

from proa.core.replicate.journal import Row
from proa.core.replicate.stamp import Versions, covers, join
from proa.core.roles import Cut
from proa.core.session import Loss, Token, after_losses, ended, losses, read_token, trimmed
from proa.declare.http import Answer
from proa.errors import LinkDown, LinkRefused, LinkTimeout, SessionBehind, SessionLost, SessionMalformed
from proa.ports import Clock, GlobalStore, Link, RegionStore
from proa.runtime.authority import Authority
from proa.runtime.replicator import Replicator

SESSION_HEADER = "proa-session"
WAIT_SHARE = 0.4
"""How much of a request's time may pass waiting for its session, in each of two regions."""
LOOK_S = 0.1
ASK_TIMEOUT_S = 0.5


class Session(msgspec.Struct):
    """The session of one request: the token that it came with, and what it has seen since.

    `epoch` is that of the cuts which this region's rows had felt when the request began.
    """

    token: Token
    epoch: int
    seen: Versions
    revision: int

    def saw(self, rows: Iterable[Row | None]) -> None:
        """Rows of the region's own store were read: the commits that made them."""
        for row in rows:
            if row:
                self.seen = join(self.seen, row.versions)

    def saw_all(self, cursors: Mapping[str, int]) -> None:
        """Something was read of which no row tells: a stretch, in which what is missing counts too."""
        self.seen = join(self.seen, cursors)

    def saw_strong(self, rows: Iterable[Row | None]) -> None:
        """Rows of the global store were read: the revisions that made them."""
        self.saw_revision(max((row.version for row in rows if row), default=0))

    def saw_revision(self, revision: int) -> None:
        """The global store was read, or written, as of `revision`."""
        self.revision = max(self.revision, revision)


class Sessions:
    """What a region needs to keep what sessions were promised. `epoch`: the rows here have felt its cuts."""

    def __init__(
        self,
        region: str,
        stores: tuple[RegionStore, GlobalStore],
        replicator: Replicator,
        authority: Authority,
        link: Link,
        clock: Clock,
    ) -> None:
        self._region = region
        self._store, self._global = stores
        self._replicator = replicator
        self._authority = authority
        self._link = link
        self._clock = clock
        self.epoch = 0

    async def begin(self, text: str, deadline: float) -> Session:
        """The session that a header tells of, once this region may go on with it. `deadline` is monotonic.

        Raises:
            SessionMalformed: the header holds no token of this app.
            SessionLost: some of what the session has seen was lost.
            SessionBehind: this region has not applied all of it, and did not in time.
        """
        token = self._read(text)
        now = self._clock.monotonic()
        if await self._caught_up(token, now + WAIT_SHARE * (deadline - now)):
            return Session(token, self.epoch, dict(token.seen), token.revision)
        self._tell(ended(token, await self._everybody()), token)
        raise SessionBehind(self._told(token))

    def mark(self, session: Session, answer: Answer) -> Answer:
        """The answer with the session's new token; one that another region gave keeps that region's."""
        if any(name == SESSION_HEADER for name, _ in answer.headers):
            return answer
        passed = [peer.passed for peer in self._replicator.peers.values()]
        token = Token(trimmed(session.seen, passed), session.revision, session.epoch)
        return Answer(answer.status, [*answer.headers, (SESSION_HEADER, token.text())], answer.body)

    async def replayed(self, session: Session, *, globally: bool) -> None:
        """The answer is that of an earlier unit: its commit is among all that its store has now."""
        if globally:
            session.saw_revision((await self._global.view([])).revision)
        else:
            session.saw_all(self._store.cursors())

    def _read(self, text: str) -> Token:
        if not text:
            return Token(epoch=self.epoch)
        try:
            return read_token(text, (self._region, *self._replicator.peers))
        except ValueError as error:
            raise SessionMalformed(f"proa-session holds no token of this app: {error}") from None

    async def _caught_up(self, token: Token, until: float) -> bool:
        """Wait until the durable cursors cover the token. Each look also asks whether a cut has come meanwhile."""
        while True:
            self._tell(losses(token, self._cuts(), self._store.cursors(), self._store.parked_between), token)
            have = self._store.cursors()
            left_s = until - self._clock.monotonic()
            if covers(have, token.seen) and self.epoch >= token.epoch:
                return True
            if left_s <= 0:
                return False
            await self._store.changed(have, min(left_s, LOOK_S))

    def _cuts(self) -> list[Cut]:
        assignment = self._authority.assignment
        return [cut for cut in assignment.cuts if cut.epoch <= self.epoch] if assignment else []

    async def _everybody(self) -> list[Versions]:
        """The cursors of all regions, or nothing where not every one of them answers."""
        asked = (self._link.call(peer, "cursors", None, timeout_s=ASK_TIMEOUT_S) for peer in self._replicator.peers)
        told = await asyncio.gather(*asked, return_exceptions=True)
        if any(isinstance(each, LinkDown | LinkTimeout | LinkRefused) for each in told):
            return []
        return [self._store.cursors(), *(cast("Versions", each) for each in told)]

    def _tell(self, lost: Sequence[Loss], token: Token) -> None:
        """Refuse, once, to go on as if nothing had happened."""
        if lost:
            missing = sum(loss.missing for loss in lost)
            raise SessionLost(
                f"{missing:,} commits that this session may have written or read are missing: "
                + "; ".join(f"{loss.missing:,} of {loss.origin} after {loss.kept:,}" for loss in lost),
                headers={SESSION_HEADER: after_losses(token, lost, self.epoch).text()},
            )

    def _told(self, token: Token) -> str:
        """What is still missing here."""
        have = self._store.cursors()
        behind = [f"{origin} up to {seq:,}" for origin, seq in token.seen.items() if have.get(origin, 0) < seq]
        return f"{self._region} has not yet applied {', '.join(behind) or f'the cuts of epoch {token.epoch}'}"
