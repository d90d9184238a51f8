"""Joining by a snapshot: what a region makes of its rows when a peer has dropped the journal entries that it lacks.

A snapshot is the peer's base with its floors: a state, and all that this state includes. Two such states are joined key
by key, without tombstones: a row that one side lacks although it had included the row's commits was deleted there, and
one whose commits it never had is new to it. (So join causal CRDTs with a common context: Almeida, Shoker, Baquero,
"Delta State Replicated Data Types", 2018.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from proa.core.dedupe import Outcome
from proa.core.replicate.compaction import Floors
from proa.core.replicate.journal import Commit, Row
from proa.core.replicate.resolve import Merge, resolve
from proa.core.replicate.stamp import Versions, covers
from proa.core.residency import may_hold, readable, sealed
from proa.core.residency import shown as shown_commit

ROWS, OUTCOMES, PARKED, DUPLICATES = 0, 1, 2, 3
"""What a snapshot consists of, in this order."""
Place = tuple[int, str, str]
"""Where an item stands in a snapshot: its section, and its address there."""
START: Place = (ROWS, "", "")
SECTIONS = (ROWS, OUTCOMES, PARKED, DUPLICATES)
_encode = msgspec.msgpack.Encoder().encode
_decode_commit = msgspec.msgpack.Decoder(Commit).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
_decode_parked = msgspec.msgpack.Decoder(tuple[int, float, bytes]).decode
_decode_duplicate = msgspec.msgpack.Decoder(tuple[bytes, bytes, float]).decode


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing in a snapshot: a row of the base, an outcome, a parked commit, or a pair of outcomes under one key."""

    section: int
    first: str
    second: str
    content: bytes

    @property
    def place(self) -> Place:
        """Its place in the order of a snapshot."""
        return (self.section, self.first, self.second)


class Page(msgspec.Struct, frozen=True):
    """A stretch of a snapshot, up to `end`. Pages with different `floors` are of different snapshots.

    `done`: nothing follows.
    """

    floors: Floors
    items: list[Item]
    end: Place
    done: bool


def gives(region: str, taker: str, parts: Iterable[str]) -> bool:
    """Whether `region` may hold everything, of these parts of tables, that `taker` may hold."""
    return all(may_hold(region, part) or not may_hold(taker, part) for part in parts)


def joinable(regions: Sequence[str], parts: Collection[str]) -> bool:
    """Whether each region finds another one that can give it all that it may hold."""
    return len(regions) == 1 or all(joinable_from(region, regions, parts) for region in regions)


def joinable_from(region: str, regions: Sequence[str], parts: Collection[str]) -> bool:
    """Whether this region finds another one that can give it all that it may hold."""
    others = [other for other in regions if other != region]
    return not others or any(gives(other, region, parts) for other in others)


def visible(page: Page, region: str) -> Page:
    """What may go to `region` of a page."""
    shown = (_shown(item, region) for item in page.items)
    return replace(page, items=[item for item in shown if item])


def _shown(item: Item, region: str) -> Item | None:
    if item.section == ROWS:
        return item if may_hold(region, item.first) else None
    if item.section == OUTCOMES:
        return replace(item, content=_sealed(item.content, region))
    if item.section == PARKED:
        epoch, at, entry = _decode_parked(item.content)
        return replace(item, content=_encode((epoch, at, _encode(shown_commit(_decode_commit(entry), region)))))
    kept, other, at = _decode_duplicate(item.content)
    return replace(item, content=_encode((_sealed(kept, region), _sealed(other, region), at)))


def _sealed(record: bytes, region: str) -> bytes:
    outcome = _decode_outcome(record)
    return record if readable(outcome, region) else _encode(sealed(outcome))


def joined(policy: Merge, ours: Row | None, theirs: Row | None, known: Versions, told: Versions) -> Row | None:
    """The row that two states make of one key, None where it is in neither any more.

    `known` is all that the state with `ours` includes, `told` all that the one with `theirs` does.
    """
    if theirs is None:
        return None if ours is None or covers(told, ours.versions) else ours
    if ours is None:
        return None if covers(known, theirs.versions) else theirs
    if covers(told, ours.versions):
        return theirs  # also where ours is made of a commit that they have parked
    if covers(known, theirs.versions):
        return ours
    return resolve(policy, ours, theirs)[0]
