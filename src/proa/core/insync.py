"""The in-sync set: the peers whose word makes a commit safe from the loss of its region.

A unit that acknowledges by peer is answered when one member has its commit durable. The set is a row of the global
store that its region alone changes, by compare-and-set, and a fail-over hears *every* member before it cuts. So nothing
is lost as long as this holds at every moment: each acknowledged commit is durable at a member that the row names.

Three rules keep it. A member is counted only while the newest row known names it *and* the change whose fate is not
known yet would keep it, so it is in the store's set whichever way that ends. A member is dropped only when another one
has everything that was acknowledged. And a restarted process, or a new life of the disk, takes the row over before it
counts anybody: then no change that an earlier process sent can arrive any more. Members are origins: a peer that lost
its disk is nobody until it is admitted again.

All is state in, state out; `runtime.confirm` feeds it pulls, `control.insync` carries out what `proposal` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from proa.core.replicate.stamp import Origin, Versions, continues, covers, region_of
from proa.core.roles import Cut, Node

LAG_S = 4.0
"""A member that has lacked something for so long is dropped, where another one has everything acknowledged."""
READY_S = 2.0
"""A peer is admitted when it had, so lately, all that was durable here."""
SILENT_S = 2.5
"""A pull waits for news for a second: a peer that was not heard for so long is out of reach."""
NEVER = float("-inf")


class InSync(msgspec.Struct, frozen=True):
    """A region's row: the members hold the commits of `origin`. `boot` is the process that wrote it."""

    origin: str
    members: tuple[str, ...]
    boot: str


class Peer(msgspec.Struct, frozen=True):
    """One life of a peer, by its last report: its durable cursors, and the epoch that it acted under.

    `bar` is what this region's own lives had come to at `bar_at`; at `current_at` the peer had all that there was.
    Its disk lost nothing since its life `whole_since` (see `continues`).
    """

    cursors: Versions = {}
    epoch: int = 0
    heard_at: float = NEVER
    bar: Versions = {}
    bar_at: float = NEVER
    current_at: float = NEVER
    whole_since: int = 0


class Wanted(msgspec.Struct, frozen=True):
    """What must be durable at a member before an answer may leave, and the epoch in which all of it stands.

    `holders` are the regions that may hold the rows concerned; the others get their commit without them. Empty: all.
    """

    versions: Versions
    epoch: int
    holders: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """What a region knows of its own set. `boot` and `since` are of this process's present life of the disk.

    `row` is the newest one known, at `version`; `proposed` rests on it, and may or may not be in force. `acknowledged`
    is the last sequence of `origin` that a client may have been told of.
    """

    origin: str = ""
    boot: str = ""
    since: float = 0.0
    row: InSync | None = None
    version: int = 0
    proposed: InSync | None = None
    peers: Mapping[str, Peer] = {}
    acknowledged: int = 0

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the store's set, as far as is known here."""
        return self.row.members if self.row else ()

    @property
    def counted(self) -> tuple[str, ...]:
        """The members whose word counts now; none before this process has taken the row over."""
        row = self.row
        if row is None or (row.origin, row.boot) != (self.origin, self.boot):
            return ()
        kept = self.proposed.members if self.proposed else row.members
        return tuple(member for member in row.members if member in kept)


# What happens to it.


def begun(group: Group, origin: str, boot: str, head: int, now: float) -> Group:
    """A process began to act for this life of the disk. All that is on the disk may have been acknowledged."""
    return msgspec.structs.replace(
        group, origin=origin, boot=boot, since=now, proposed=None, peers={}, acknowledged=head
    )


def heard(
    group: Group, peer: str, cursors: Versions, epoch: int, own: Versions, now: float, whole_since: int = 0
) -> Group:
    """The peer's origin `peer` reported its durable cursors; `own` are those of this region's lives here."""
    known = group.peers.get(peer, Peer())
    if covers(cursors, own):
        current_at, bar, bar_at = now, own, now
    elif covers(cursors, known.bar):
        current_at, bar, bar_at = known.bar_at, own, now
    else:
        current_at, bar, bar_at = known.current_at, known.bar, known.bar_at
    after = Peer(cursors, epoch, now, bar, bar_at, current_at, whole_since)
    return msgspec.structs.replace(group, peers={**group.peers, peer: after})


def learned(group: Group, row: InSync, version: int) -> Group:
    """The store's row, at a version. A newer one than a proposal rested on settles its fate: made it, or never will."""
    if version <= group.version:
        return group
    return msgspec.structs.replace(group, row=row, version=version, proposed=None)


def proposing(group: Group, row: InSync) -> Group:
    """A change is about to be sent: until its fate is known both rows are possible."""
    return msgspec.structs.replace(group, proposed=row)


def withdrawn(group: Group) -> Group:
    """The change that was sent certainly never happens."""
    return msgspec.structs.replace(group, proposed=None)


# Acknowledging.


def confirms(group: Group, wanted: Wanted, epoch: int) -> bool:
    """Whether a counted member has what is wanted. `epoch` is the one that this region acts under.

    A member of a later epoch may know a cut that this region does not; it counts again when this region has caught up.
    """
    return any(
        peer.epoch <= epoch and covers(peer.cursors, wanted.versions) for peer in _counted(group, wanted.holders)
    )


def acknowledged(group: Group, wanted: Wanted) -> Group:
    """An answer that rests on `wanted` is about to leave."""
    seq = wanted.versions.get(group.origin, 0)
    return msgspec.structs.replace(group, acknowledged=seq) if seq > group.acknowledged else group


def cut_off(wanted: Wanted, cuts: Iterable[Cut]) -> Cut | None:
    """The cut of a later epoch that what is wanted lies beyond: a fail-over went on without it."""
    later = (cut for cut in cuts if cut.epoch > wanted.epoch)
    return next((cut for cut in later if wanted.versions.get(cut.origin, 0) > cut.seq), None)


def reachable(group: Group, now: float, holders: tuple[str, ...] = ()) -> bool:
    """Whether any counted member was heard of lately, so that a unit has a chance to be confirmed."""
    return any(now - peer.heard_at <= SILENT_S for peer in _counted(group, holders))


def _counted(group: Group, holders: tuple[str, ...]) -> list[Peer]:
    """The members whose word counts, on rows that only `holders` may hold (empty: every region)."""
    return [group.peers.get(name, NOBODY) for name in group.counted if not holders or region_of(name) in holders]


# Changing the set.


def proposal(group: Group, own: Versions, now: float) -> InSync | None:
    """The row that should be in force instead of the present one; None where it is right, or nothing can be done."""
    if group.proposed or not group.origin:
        return None
    ready = {peer for peer in group.peers if _ready(group, peer, own, now)}
    if group.row is None or group.row.origin != group.origin:
        return _succession(group, ready, own)
    lagging = {member for member in group.members if _lags(group, member, now)}
    staying = set(group.members) - lagging
    kept = staying if any(_has_all(group, member) for member in staying) else set(group.members)
    wanted = InSync(group.origin, tuple(sorted(kept | ready)), group.boot)
    return None if wanted == group.row else wanted


def admits(group: Group, row: InSync) -> bool:
    """Whether this row names anybody new for its origin. Only a region that holds its right may do that."""
    same = group.row is not None and group.row.origin == row.origin
    return not (same and set(row.members) <= set(group.members))


def _succession(group: Group, ready: set[str], own: Versions) -> InSync | None:
    """The first row of a new life of the disk: it must have all that an earlier life was promised to be kept.

    So must its members, of which there is one at least: the members of the earlier life are not asked any more.
    """
    row = group.row
    inherited = row is None or (
        _incarnation(row.origin) < _incarnation(group.origin)
        and all(_inherited(group, member, own) for member in row.members)
    )
    return InSync(group.origin, tuple(sorted(ready)), group.boot) if ready and inherited else None


def _inherited(group: Group, member: str, own: Versions) -> bool:
    """Whether this disk has whatever a member of the earlier life has of this region's lives.

    A member that lives on under another origin, on the same disk, answers for the earlier one.
    """
    mine = region_of(group.origin)
    words = [peer for origin, peer in group.peers.items() if continues(origin, peer.whole_since, member)]
    told = [cursor for peer in words for cursor in peer.cursors.items()]
    return bool(words) and all(own.get(origin, 0) >= seq for origin, seq in told if region_of(origin) == mine)


def _ready(group: Group, peer: str, own: Versions, now: float) -> bool:
    """Whether a peer keeps up, and has the earlier lives whole, since their members are not asked any more."""
    known = group.peers[peer]
    earlier = {origin: seq for origin, seq in own.items() if origin != group.origin}
    return (
        now - known.current_at <= READY_S
        and now - known.heard_at <= SILENT_S
        and covers(known.cursors, earlier)
        and not _superseded(group, peer)
    )


def _lags(group: Group, member: str, now: float) -> bool:
    return now - max(group.peers.get(member, NOBODY).current_at, group.since) > LAG_S or _superseded(group, member)


def _has_all(group: Group, member: str) -> bool:
    return group.peers.get(member, NOBODY).cursors.get(group.origin, 0) >= group.acknowledged


def _superseded(group: Group, peer: str) -> bool:
    """Whether a later life of the same peer was heard of: this one will never speak again."""
    region, number = Origin.parse(peer)
    return any(region_of(other) == region and _incarnation(other) > number for other in group.peers)


# Releasing a new life from members that are gone for good.


class Release(msgspec.Struct, frozen=True):
    """A person's wish that a region's new life ask none of these members of its earlier life any more.

    Whatever only they had is lost. It is bound to the row at `version`, and holds once a second person approves it.
    """

    origin: str
    members: tuple[str, ...]
    version: int
    by: str
    why: str = ""


def gone(row: InSync, lives: Mapping[str, Node]) -> tuple[str, ...]:
    """The members whose region has begun a life without their disk: they never answer again. `lives` are by region."""
    return tuple(member for member in row.members if _lost(lives.get(region_of(member)), member))


def _lost(life: Node | None, member: str) -> bool:
    return life is not None and _later(life.origin, member) and not life.continues(member)


def obstacle(row: InSync | None, region: str, lives: Mapping[str, Node]) -> str:
    """Why a region's set is not to be released, empty where it is: only a new life may, whose members are gone."""
    if row is None or not row.members:
        return f"{region} has no members that it must hear"
    if region not in lives or not _later(lives[region].origin, row.origin):
        return f"the set is that of the present life of {region}, {row.origin}; it changes it itself"
    if not gone(row, lives):
        return f"every member of {row.origin} may still answer: {', '.join(row.members)}"
    return ""


def released(row: InSync) -> InSync:
    """The row whose members nobody asks any more: the region's new life goes on from what it has."""
    return msgspec.structs.replace(row, members=())


def _later(origin: str, than: str) -> bool:
    return bool(origin) and _incarnation(origin) > _incarnation(than)


def _incarnation(origin: str) -> int:
    return Origin.parse(origin).incarnation


NOBODY = Peer()
