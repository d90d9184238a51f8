"""Replication: each region pulls whole commits from its peers over `Link` and applies them.

From a peer it asks for the peer's own origins, and for those of regions that it cannot reach itself: regions keep and
serve each other's commits, so catch-up takes the most that any survivor has. A pull waits at the peer until there is
something, so nothing polls. A pull names the durable cursors of its caller, which is how a peer knows what is safe.
Only where somebody waits to hear that, a commit is also handed over unasked (`push`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import replace

from proa.core.replicate.compaction import horizon, lacking
from proa.core.replicate.journal import FORMAT, Dot, commit_of
from proa.core.replicate.stamp import Versions, covers, region_of
from proa.core.replicate.tombstones import Passed, heard
from proa.core.residency import Gap
from proa.core.time import out_of_bound, wall_of
from proa.errors import LinkDown, LinkRefused, LinkTimeout, StoreCorrupt, StoreFull
from proa.ports import ENTRIES_BYTES, Clock, Link, Method, RegionStore, Telemetry, Terms
from proa.runtime.events import ClockSkewSeen, CommitsApplied, CommitsCompleted, CommitsIncomplete, PeerBack, PeerLost
from proa.runtime.joiner import Joiner
from proa.runtime.push import Push, Pusher

if TYPE_CHECKING:
    from proa.runtime.confirm import Confirmations
    from proa.runtime.passage import Passage

PULL_LIMIT = 500
PULL_WAIT_S = 1.0
PULL_TIMEOUT_S = 0.5
RETRY_S = 0.1
STUCK_WAIT_S = 0.05
BUSY_COUNT = 8
GATHER_S = 0.003
"""Where pulls bring this many commits, the next one waits a little: fewer, larger pulls leave more to the units."""
LAGS_KEPT = 4096
FORGET_EVERY_S = 2.0
FORGET_LIMIT = 200
FORGET_PAUSE_S = 0.005
"""Between two slices, so that units do not wait for one after the other."""


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """The first fields of a commit: all that the replicator itself looks at."""

    origin: str
    seq: int
    stamp: int


class Pull(msgspec.Struct, frozen=True):
    """A request for commits after these durable cursors.

    `own` is the caller's present origin, which it knows best; `direct` are the regions that it asks itself. An earlier
    life of the caller's region is like any other origin: its disk may have been lost. `settled` and `gaps` are for rows
    that only some regions may hold (see `passage`). `epoch` is the one that the caller acts under, `to` the mark of the
    peer's process as the last reply had it, `whole_since` the life since which its disk lost nothing (see `confirm`).
    """

    after: Versions
    own: str
    direct: list[str]
    limit: int
    wait_s: float
    format: int = FORMAT
    settled: Versions = {}
    gaps: list[Gap] = []
    epoch: int = 0
    to: str = ""
    whole_since: int = 0


class Pulled(msgspec.Struct, frozen=True):
    """The reply: commits in order, how far the peer itself is, and the mark of its process.

    `stuck` is how far it can go where it lacks what the caller may hold; `filled` are copies that help with its gaps.
    `floors`: entries up to there are dropped that the caller lacks; it needs a snapshot.
    `awaited`: somebody waits there to hear that these commits are durable here.
    """

    entries: list[bytes]
    cursors: Versions
    stuck: Versions = {}
    filled: list[bytes] = []
    floors: Versions = {}
    boot: str = ""
    awaited: bool = False


class Peer(msgspec.Struct):
    """What this region knows of one peer. `asked`: it answered or failed a pull; `boot` marks its process.

    `busy`: its last reply brought many, and nobody waits to hear of them. `served` counts its pulls that are here to be
    answered. `passed` is how far the peer has durably
    applied, by its own pulls, and `gaps` are commits that it still lacks something of; `known` is what follows for
    tombstones.
    """

    reachable: bool = False
    asked: bool = False
    busy: bool = False
    served: int = 0
    boot: str = ""
    cursors: Versions = {}
    own: str = ""
    passed: Versions = {}
    gaps: list[Gap] = []
    known: Passed = Passed()


class Confirming(Protocol):
    """Who waits here for peers to have what was committed, and listens to what they say."""

    @property
    def boot(self) -> str: ...
    def awaited(self) -> bool: ...
    def heard(self, pull: Pull) -> None: ...


_decode_head = msgspec.msgpack.Decoder(_Head).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_pull = msgspec.msgpack.Decoder(Pull).decode
_decode_pulled = msgspec.msgpack.Decoder(Pulled).decode
_decode_push = msgspec.msgpack.Decoder(Push).decode


def _head_of(entry: bytes) -> _Head | None:
    """The beginning of an entry; None where it is damaged."""
    try:
        return _decode_head(entry)
    except ValueError:
        return None


def _whole(entries: list[bytes]) -> bool:
    """Whether a reply brought all that there was."""
    return len(entries) < PULL_LIMIT and sum(map(len, entries)) < ENTRIES_BYTES


class Replicator:
    """Pulls from every peer, and serves their pulls."""

    def __init__(
        self,
        region: str,
        peers: Sequence[str],
        store: RegionStore,
        link: Link,
        clock: Clock,
        telemetry: Telemetry,
        *,
        clock_bound_s: float,
        passage: Passage | None = None,
    ) -> None:
        self._region = region
        self._store = store
        self._link = link
        self._clock = clock
        self._telemetry = telemetry
        self._clock_bound_s = clock_bound_s
        self._passage = passage
        self.joiner = Joiner(region, store, link, clock, telemetry, clock_bound_s=clock_bound_s, passage=passage)
        self.peers = {peer: Peer() for peer in peers}
        self.terms = Terms()
        self.lags_s: deque[float] = deque(maxlen=LAGS_KEPT)
        self._catching_up = 0
        self.clock_sound: Callable[[], bool] = lambda: True
        self.on_fork: Callable[[], None] | None = None
        self.on_pulled: Callable[[str, float, Versions], None] | None = None
        self.confirming: Confirming | None = None
        self.pusher: Pusher | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to pull, anew where it had begun."""
        self._stop_following()
        self.joiner.resume(lambda: self.terms)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow(peer)) for peer in self.peers]
        self._tasks.append(loop.create_task(self._forget()))

    def stop(self) -> None:
        """Pull no more."""
        self._stop_following()
        self.joiner.stop()

    def _stop_following(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    # Asking.

    async def _follow(self, peer: str) -> None:
        while True:
            try:
                progressed = await self._pull(peer)
            except (LinkDown, LinkTimeout, LinkRefused) as error:
                self._lost(peer, error.detail)
                await self._clock.sleep(RETRY_S)
                continue
            except (StoreFull, StoreCorrupt):
                await self._clock.sleep(RETRY_S)  # the commits are the peer's still: they are pulled again
                continue
            self._back(peer)
            if self.peers[peer].busy:
                await self._clock.sleep(GATHER_S)
            if not progressed:
                # The peer has commits that wait here for others (or a limit): go on when something was applied.
                await self._store.changed(self._store.cursors(), STUCK_WAIT_S)

    async def _pull(self, peer: str) -> bool:
        """One pull and its application; False where commits came and none could be applied."""
        before = self._store.cursors()
        state = self.peers[peer]
        wait_s = PULL_WAIT_S if state.reachable else 0.0  # learn at once that a peer is there
        direct = self._direct(peer)
        pull = self._word(before, PULL_LIMIT, wait_s, direct, state.boot)
        if self._passage:
            reach = (other.cursors for other in self.peers.values() if other.reachable)
            settled = self._passage.settled(peer, self.terms, reach)
            direct = [name for name in direct if name not in self._passage.stuck_regions()]
            pull = replace(pull, direct=direct, settled=settled, gaps=await self._passage.lacking())
        asked_at = self._clock.monotonic()
        reply = await self._link.call(peer, "pull", _encode(pull), timeout_s=PULL_WAIT_S + PULL_TIMEOUT_S)
        pulled = _decode_pulled(reply)
        if self.on_pulled:
            self.on_pulled(peer, asked_at, pulled.cursors)
        state.cursors, state.boot = pulled.cursors | pulled.stuck, pulled.boot
        if self._passage:
            await self._complete(peer, self._passage, pulled)
        state.busy = len(pulled.entries) >= BUSY_COUNT and _whole(pulled.entries) and not pulled.awaited
        if not covers(self._store.cursors(), pulled.floors):
            await self.joiner.join(peer, lambda: self.terms)
            return True
        entries = self._within_clock_bound(pulled.entries)
        if not entries:
            return not pulled.entries
        after = await self._store.apply(entries, self.terms)
        self._measure(peer, entries, before, after)
        if len(entries) > sum(after.values()) - sum(before.values()):
            await self._look(peer, entries, after)
        if pull.settled and self._passage:
            await self._passage.lacking()
            for origin in pull.settled:
                if after.get(origin, 0) > before.get(origin, 0):
                    self._telemetry.emit(CommitsIncomplete(origin, after[origin]))
        return after != before

    async def _complete(self, peer: str, passage: Passage, pulled: Pulled) -> None:
        """Note where the peer stopped short, and put what it has of this region's gaps into their place."""
        passage.stuck[peer] = pulled.stuck
        if filled := await passage.fill(pulled.filled):
            self._telemetry.emit(CommitsCompleted(filled))

    def _direct(self, peer: str) -> list[str]:
        """The regions that this one asks itself: `peer` need not serve their commits."""
        if self._catching_up:
            return []
        return [name for name, state in self.peers.items() if state.reachable and name != peer]

    def _within_clock_bound(self, entries: list[bytes]) -> list[bytes]:
        """The entries before the first that claims to come from the future: that one and what follows wait."""
        now = self._clock.now()
        for index, entry in enumerate(entries):
            head = _head_of(entry)
            if head and out_of_bound(head.stamp, now, self._clock_bound_s):
                self._telemetry.emit(ClockSkewSeen(head.origin, wall_of(head.stamp) - now))
                return entries[:index]
        return entries

    def _measure(self, peer: str, entries: list[bytes], before: Versions, after: Versions) -> None:
        now = self._clock.now()
        heads = [head for entry in entries if (head := _head_of(entry))]
        lags = [
            max(0.0, now - wall_of(head.stamp))
            for head in heads
            if before.get(head.origin, 0) < head.seq <= after.get(head.origin, 0)
        ]
        if lags:
            self.lags_s.extend(lags)
            self._telemetry.emit(CommitsApplied(peer, len(lags), lags))

    async def _look(self, peer: str, entries: Sequence[bytes], after: Versions) -> None:
        """Where some of what a peer sent cannot be read, let it look at what comes next: it mends its own."""
        if not all(map(commit_of, entries)):
            following = [(origin, seq + 1) for origin, seq in after.items()]
            await self._link.call(peer, "repair.look", _encode(following), timeout_s=PULL_TIMEOUT_S)

    def _lost(self, peer: str, detail: str) -> None:
        state = self.peers[peer]
        if state.reachable or not state.asked:
            state.reachable, state.asked = False, True
            self._telemetry.emit(PeerLost(peer, detail))

    def _back(self, peer: str) -> None:
        state = self.peers[peer]
        if not state.reachable:
            state.reachable = state.asked = True
            self._telemetry.emit(PeerBack(peer))

    # Answering.

    def methods(self) -> dict[str, Method]:
        """The link methods that this region serves to its peers."""
        return {
            "pull": self._serve,
            "push": self._take,
            "passed": self._serve_passed,
            "cursors": self._serve_cursors,
            **self.joiner.methods(),
        }

    async def _serve_cursors(self, _caller: str, _payload: Any) -> Versions:
        return self._store.cursors()

    async def _serve_passed(self, caller: str, origin: str) -> Versions:
        """What the caller's disk had applied in this life of it, as it said itself."""
        peer = self.peers.get(caller)
        return peer.passed if peer and peer.own == origin else {}

    async def _serve(self, caller: str, payload: Any) -> bytes:
        pull = _decode_pull(payload)
        if pull.format > FORMAT:
            raise LinkRefused(f"{caller} speaks journal format {pull.format}; {self._region} knows up to {FORMAT}")
        peer = self.peers.get(caller, Peer())
        peer.own, peer.passed, peer.gaps = pull.own, pull.after, pull.gaps
        if self.confirming and caller in self.peers:
            self.confirming.heard(pull)
        self._detect_fork(pull.after)
        peer.served += 1
        try:
            pulled = await (self._pass(caller, pull, self._passage) if self._passage else self._give(pull))
        finally:
            peer.served -= 1
        if self.confirming:
            pulled = replace(pulled, boot=self.confirming.boot, awaited=self.confirming.awaited())
        if self.pusher and _whole(pulled.entries):
            self.pusher.left(caller, pulled.cursors.get(self._store.origin, 0))
        return _encode(pulled)

    async def _take(self, caller: str, payload: Any) -> bytes:
        """Apply what a peer hands over because somebody waits for it there, and say how far this region is then."""
        push = _decode_push(payload)
        if push.format > FORMAT:
            raise LinkRefused(f"{caller} speaks journal format {push.format}; {self._region} knows up to {FORMAT}")
        if not self._tasks or self._store.joining:
            raise LinkRefused(f"{self._region} follows nobody now")
        before, entries = self._store.cursors(), self._within_clock_bound(push.entries)
        try:
            after = await self._store.apply(entries, self.terms) if entries else before
        except (StoreFull, StoreCorrupt) as error:
            raise LinkRefused(error.detail) from error
        self._measure(caller, entries, before, after)
        gaps = self._passage.gaps if self._passage else []
        return _encode(replace(self._word(after, 0, 0.0, [], push.boot), gaps=gaps))

    def _word(self, after: Versions, limit: int, wait_s: float, direct: list[str], to: str) -> Pull:
        """What this region says of itself when it asks for what comes after these cursors."""
        epoch, whole_since = self.terms.epoch, self._store.whole_since
        return Pull(after, self._store.origin, direct, limit, wait_s, epoch=epoch, to=to, whole_since=whole_since)

    def push_for(self, confirming: Confirmations) -> Pusher:
        """Hand commits over as soon as somebody waits here for peers to have them."""
        self.confirming = confirming
        self.pusher = Pusher(self._store, self._link, confirming, self.peers.__getitem__, _decode_pull, self._passage)
        return self.pusher

    async def _give(self, pull: Pull) -> Pulled:
        after = self._wanted(pull)
        entries = await self._store.journal(after, pull.limit)
        if not (entries or lacking(after, self._store.floors())) and await self._store.changed(after, pull.wait_s):
            after = self._wanted(pull)
            entries = await self._store.journal(after, pull.limit)
        return Pulled(entries, self._store.cursors(), floors=lacking(after, self._store.floors()))

    async def _pass(self, caller: str, pull: Pull, passage: Passage) -> Pulled:
        """The same where only some regions may hold some rows."""
        after = self._wanted(pull)
        filled = await passage.helping(caller, pull.gaps)
        entries, stuck = await passage.entries(caller, after, pull.limit, pull.settled)
        here = self._store.cursors()
        after |= {origin: here[origin] for origin in stuck}  # more of those would not go to the caller either
        floors = lacking(after, self._store.floors())
        waits = not (entries or filled or passage.news(caller, stuck) or floors)
        if waits and await self._store.changed(after, pull.wait_s):
            entries, stuck = await passage.entries(caller, self._wanted(pull), pull.limit, pull.settled)
        return Pulled(entries, self._store.cursors(), stuck, filled, floors)

    def _wanted(self, pull: Pull) -> Versions:
        return {
            origin: pull.after.get(origin, 0)
            for origin in self._store.cursors()
            if origin != pull.own and region_of(origin) not in pull.direct
        }

    def _detect_fork(self, after: Versions) -> None:
        """A peer has more of this origin than its own disk: the disk was put back to an earlier state."""
        known = after.get(self._store.origin, 0)
        if self.on_fork and known > self._store.cursors().get(self._store.origin, 0):
            self.on_fork()

    async def known_of(self, origin: str) -> int:
        """The furthest that any peer which answers at once has applied `origin`."""
        replies = await asyncio.gather(
            *(self._link.call(peer, "cursors", None, timeout_s=PULL_TIMEOUT_S) for peer in self.peers),
            return_exceptions=True,
        )
        return max((reply.get(origin, 0) for reply in replies if isinstance(reply, dict)), default=0)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]

    async def forgotten(self, origin: str) -> bool:
        """Whether a peer that answers at once heard that this disk had, in this life, something that it lacks now."""
        replies = await asyncio.gather(
            *(self._link.call(peer, "passed", origin, timeout_s=PULL_TIMEOUT_S) for peer in self.peers),
            return_exceptions=True,
        )
        own = self._store.cursors()
        return any(not covers(own, reply) for reply in replies if isinstance(reply, dict))  # pyright: ignore[reportUnknownArgumentType]

    def copied(self, dot: Dot) -> bool:
        """Whether a peer has this commit durably, too; in a region without peers nobody needs to."""
        origin, seq = dot
        return not self.peers or any(peer.passed.get(origin, 0) >= seq for peer in self.peers.values())

    # Rows that are gone.

    async def _forget(self) -> None:
        """Now and then drop the tombstones and expired rows that every peer has passed, a bounded number at a time."""
        while True:
            await self._clock.sleep(FORGET_EVERY_S)
            for peer in self.peers.values():
                if peer.passed:
                    peer.known = heard(peer.known, peer.passed, self._store.cursors())
            with suppress(StoreFull):
                while await self._store.forget(
                    [peer.known for peer in self.peers.values()], FORGET_LIMIT, self._ended()
                ):
                    await self._clock.sleep(FORGET_PAUSE_S)

    def _ended(self) -> float:
        """Until when a row must have expired to be there for no region whose clock is within the bound."""
        if not self.clock_sound():
            return 0.0
        return wall_of(horizon(2 * self._clock_bound_s, self._clock.now(), self._store.latest_stamp()))

    # What control asks.

    async def contact(self, timeout_s: float) -> None:
        """Wait until every peer has answered a pull or failed one, so that what they have is known."""
        deadline = self._clock.monotonic() + timeout_s
        while any(not peer.asked for peer in self.peers.values()) and self._clock.monotonic() < deadline:
            await self._clock.sleep(RETRY_S / 10)

    async def catch_up(self, targets: Versions, timeout_s: float) -> bool:
        """Wait until the durable cursors cover `targets`; held origins are applied up to their target.

        Meanwhile every peer is asked for every origin, because the region that made a commit may be gone.
        """
        for origin in self.terms.limits.keys() & targets.keys():
            self.terms.limits[origin] = max(self.terms.limits[origin], targets[origin])
        if covers(self._store.cursors(), targets):
            return True
        self._catching_up += 1
        self.start()  # pulls that wait under the old terms are dropped
        try:
            return await self._wait_for(targets, self._clock.monotonic() + timeout_s)
        finally:
            self._catching_up -= 1

    async def _wait_for(self, targets: Versions, deadline: float) -> bool:
        while not covers(self._store.cursors(), targets):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return False
            await self._store.changed(dict.fromkeys(targets, 0) | self._store.cursors(), left)
        return True

    @property
    def lacking(self) -> Sequence[Gap]:
        """What this region may hold and lacks, as far as it knows: nobody within reach had it."""
        return self._passage.gaps if self._passage else ()

    def reachable(self, peer: str) -> bool:
        """Whether a peer answered the last pull."""
        return self.peers[peer].reachable

    def backlog(self) -> dict[str, int]:
        """How many commits each peer has that this region lacks, as the peer told last."""
        have = self._store.cursors()
        return {
            name: sum(max(0, seq - have.get(origin, 0)) for origin, seq in peer.cursors.items())
            for name, peer in self.peers.items()
        }
