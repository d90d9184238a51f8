"""The account of messages: what became of those that the lost region had, by what the journals on all disks say.

A message begins in the commit that sends it and ends in the one that takes its row away for good: it was handled, or
given up. Commits that a fail-over set aside do not count; so a message that only such a commit ended went on waiting,
and whoever ended it after that took its place. What a unit of the global store sent lies there until a region fetches
it, and no journal tells of it before: what lay there at the fault is noted then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import msgspec

from proa.core.queue import MESSAGES, spot
from proa.core.replicate.journal import Commit, Dot
from proa.core.replicate.stamp import region_of
from proa.core.residency import table_of
from proa.core.time import wall_of


class MessageAccount(msgspec.Struct, frozen=True):
    """Messages of one region and its loss.

    `in_flight` of them were sent and not dealt with when it was lost, as far as survivors could know, also those that
    lay in the global store for it; `adopted` of these were dealt with by another region. `duplicated` took effect
    twice, `lost` not at all, and they wait nowhere: both are counted over all messages. `reconciled` were dealt with by
    commits that were set aside, and again by others that stand. `waiting` are still to be dealt with.
    """

    in_flight: int = 0
    adopted: int = 0
    duplicated: int = 0
    lost: int = 0
    reconciled: int = 0
    waiting: int = 0


class Name(NamedTuple):
    """What tells a message from all others, as long as its home is the same."""

    queue: str
    id: str
    home: str


class Course(msgspec.Struct):
    """One message: its first home and when it was sent, which commits ended it, and which of those were set aside."""

    home: str
    sent_at: float
    stands: bool = False
    ended: list[tuple[str, float]] = []
    set_aside: int = 0

    def under_way(self, at: float) -> bool:
        """Whether it was sent and not dealt with at a time, by commits that stand."""
        return self.stands and self.sent_at <= at and all(ended_at > at for _, ended_at in self.ended)


def accounted(
    commits: Mapping[Dot, Commit],
    parked: Collection[Dot],
    waiting: Collection[str],
    left: Mapping[Name, float],
    lost: str,
    fault_at: float,
) -> MessageAccount:
    """The account over the commits of all regions.

    `waiting` are the messages that some store still has, `left` those that the global store had at the fault, with when
    each was sent.
    """
    courses = list(_courses(commits, parked, left))
    in_flight = [course for _, course in courses if course.home == lost and course.under_way(fault_at)]
    return MessageAccount(
        in_flight=len(in_flight),
        adopted=sum(any(region != lost for region, _ in course.ended) for course in in_flight),
        duplicated=sum(len(course.ended) > 1 for _, course in courses),
        lost=sum(course.stands and not course.ended and name not in waiting for name, course in courses),
        reconciled=sum(bool(course.set_aside and course.ended) for _, course in courses),
        waiting=len(waiting),
    )


def _courses(
    commits: Mapping[Dot, Commit], parked: Collection[Dot], left: Mapping[Name, float]
) -> Iterator[tuple[str, Course]]:
    """Each message with its course. An event that each region handles is a message in each of them."""
    courses = {name: Course(name.home, sent_at, stands=True) for name, sent_at in left.items()}
    for dot, commit in sorted(commits.items(), key=lambda found: found[1].stamp):
        aside, at = dot in parked, wall_of(commit.stamp)
        written, removed = _messages(commit)
        moved = {name: other for name in removed for other in written if name[:2] == other[:2]}
        for name in removed - moved.keys():
            course = courses.setdefault(name, Course("", at))
            course.set_aside += aside
            if not aside:
                course.ended.append((region_of(commit.origin), at))
        courses |= {other: courses.pop(name) for name, other in moved.items() if name in courses}
        for name in written:
            course = courses.setdefault(name, Course(name.home, at))
            course.stands |= not aside
    return ((name.id, course) for name, course in courses.items())


def _messages(commit: Commit) -> tuple[set[Name], set[Name]]:
    """The messages that a commit wrote, and those whose rows it removed."""
    names = [(name_of(write.key), write.value) for write in commit.writes if table_of(write.table) == MESSAGES]
    return {name for name, value in names if value is not None}, {name for name, value in names if value is None}


def name_of(key: str) -> Name:
    """The message whose row has this key."""
    where = spot(key)
    return Name(where.queue, where.id, where.home)
