"""Sessions: what a client has written or read, as a token that it carries from request to request and region to region.

A token names the last sequence of each origin that its units committed or read, and the revision of the global store.
A region whose durable cursors cover the token shows nothing older. The epoch says which cuts were known when the token
was given: a later cut below one of its sequences tells that commits of the session may be lost.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from proa.core.replicate.stamp import Origin, Versions, covers, join, region_of
from proa.core.roles import Cut

FORMAT = "1"
LENGTH_MAX = 2000
SEQ_MAX = 1 << 62


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What a session has seen: each origin up to a sequence, the global store up to a revision, cuts up to an epoch."""

    seen: Versions = {}
    revision: int = 0
    epoch: int = 0

    def text(self) -> str:
        """As a header holds it: the format's number, then what only Proa reads."""
        return FORMAT + urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")


def read_token(text: str, regions: Collection[str]) -> Token:
    """The token in a header; ValueError where it is none that an app in these regions gave."""
    if len(text) > LENGTH_MAX:
        raise ValueError(f"it has {len(text):,} characters; at most {LENGTH_MAX:,} make sense")
    if not text.startswith(FORMAT):
        raise ValueError(f"its format is {text[:1]!r}; known is {FORMAT}")
    packed = text[len(FORMAT) :]
    try:
        token = msgspec.msgpack.decode(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), type=Token)
    except ValueError:
        raise ValueError("it was cut off or changed") from None
    for origin in token.seen:
        if Origin.parse(origin).region not in regions:
            raise ValueError(f"{origin!r:.80} is no origin of this app")
    if not all(0 <= number <= SEQ_MAX for number in (*token.seen.values(), token.revision, token.epoch)):
        raise ValueError("a number is out of range")
    return token


class Loss(msgspec.Struct, frozen=True):
    """What of an origin is missing: so many commits beyond `kept`."""

    origin: str
    kept: int
    missing: int


Parked = Callable[[str, int, int], int]
"""Counts the commits of an origin that were set aside, after one sequence and up to another."""


def losses(token: Token, cuts: Iterable[Cut], own: Mapping[str, int], parked: Parked) -> list[Loss]:
    """What this session may have lost by cuts that are newer than its token, seen from a region with cursors `own`.

    Commits beyond the cut that are here and stand, because they had only rows that merge, are not lost.
    """
    first: dict[str, int] = {}
    for cut in cuts:
        if token.epoch < cut.epoch and token.seen.get(cut.origin, 0) > cut.seq:
            first[cut.origin] = min(cut.seq, first.get(cut.origin, cut.seq))
    found = [_loss(origin, kept, token.seen[origin], own, parked) for origin, kept in first.items()]
    return [loss for loss in found if loss.missing]


def _loss(origin: str, cut: int, seq: int, own: Mapping[str, int], parked: Parked) -> Loss:
    here = min(seq, max(cut, own.get(origin, 0)))
    return Loss(origin, here, seq - here + parked(origin, cut, here))


def ended(token: Token, cursors: Sequence[Mapping[str, int]]) -> list[Loss]:
    """What this session has lost with disks: origins that ended, of which no region has as much as the token names.

    `cursors` are those of every region; an origin has ended where one of them knows a later life of its region.
    """
    known: Versions = {}
    for each in cursors:
        known = join(known, {origin: max(seq, 0) for origin, seq in each.items()})
    lives: dict[str, int] = {}
    for each in cursors:
        for origin in each:
            region, life = Origin.parse(origin)
            lives[region] = max(life, lives.get(region, 0))
    return [
        Loss(origin, known.get(origin, 0), seq - known.get(origin, 0))
        for origin, seq in token.seen.items()
        if seq > known.get(origin, 0) and Origin.parse(origin).incarnation < lives.get(region_of(origin), 0)
    ]


def after_losses(token: Token, lost: Iterable[Loss], epoch: int) -> Token:
    """The token with which a client goes on that was told of its losses."""
    return Token({**token.seen, **{loss.origin: loss.kept for loss in lost}}, token.revision, epoch)


def trimmed(seen: Versions, passed: Sequence[Versions]) -> Versions:
    """Without the earlier lives of a region's disk that every peer has passed: they hold nobody up any more.

    `passed` are the durable cursors of every peer. What remains has one entry a region, and a few after lost disks.
    """
    latest: dict[str, int] = {}
    for origin in seen:
        region, life = Origin.parse(origin)
        latest[region] = max(life, latest.get(region, 0))
    return {
        origin: seq
        for origin, seq in seen.items()
        if Origin.parse(origin).incarnation == latest[region_of(origin)]
        or not all(covers(each, {origin: seq}) for each in passed)
    }
