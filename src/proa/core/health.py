"""Health: from single probes to one verdict on a region that a quorum stands behind.

Each observer smooths its own samples (hysteresis: several bad ones in a row to condemn, several good to acquit) and
publishes one `Observation` per region. The verdict counts what the *other* nodes publish: a region does not judge
itself, and one observer with a broken network condemns nobody. A deep check that fails in every live region points at
something shared, so it is no region's failure and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from proa.core.roles import Observation

Verdict = Literal["healthy", "failing", "down", "unknown"]
Seen = Mapping[str, Mapping[str, Observation]]
"""What each fresh observer published: observer -> region -> observation."""


Juries = tuple[tuple[str, tuple[str, ...]], ...]
"""Each region with the nodes that are configured to judge it, each named once."""


class HealthPolicy(msgspec.Struct, frozen=True):
    """How often to probe, how long to wait, and how many samples in a row change an observer's mind.

    Every `interval_s` while a region is well, and every `doubt_interval_s` from the first sample that says otherwise
    until it is well again: what condemns is the same, however seldom a region is looked at that nobody worries about.
    """

    interval_s: float = 1.0
    doubt_interval_s: float = 0.5
    timeout_s: float = 0.5
    fail_after: int = 3
    pass_after: int = 2

    def __post_init__(self) -> None:
        times_s = (self.interval_s, self.doubt_interval_s, self.timeout_s)
        if min(times_s) <= 0 or min(self.fail_after, self.pass_after) < 1:
            raise ValueError(f"a health policy needs positive times and counts, not {self}")


def policy_for(lease_s: float) -> HealthPolicy:
    """Probe fast enough that a short lease, and not the detection, is what a fail-over waits for."""
    doubt_interval_s = min(0.5, max(0.2, lease_s / 4))
    return HealthPolicy(interval_s=2 * doubt_interval_s, doubt_interval_s=doubt_interval_s)


class Track(msgspec.Struct, frozen=True):
    """One observer's opinion of one region. `against` counts the samples in a row that contradict it."""

    reported: Observation | None = None
    against: int = 0
    worse: bool = False

    @property
    def calm(self) -> bool:
        """Whether the region is thought to be well, and the last sample said so, too."""
        return self.reported is not None and self.reported.well and not self.against


def pause_s(track: Track, policy: HealthPolicy) -> float:
    """How long after a sample began the next one is due."""
    return policy.interval_s if track.calm else policy.doubt_interval_s


def rank(observation: Observation) -> int:
    """0 well, 1 alive but failing its deep checks, 2 not alive."""
    if not observation.live:
        return 2
    return 0 if observation.well else 1


def observe(track: Track, sample: Observation, policy: HealthPolicy) -> Track:
    """The opinion after one more sample."""
    if sample == track.reported and not track.against:
        return track
    before = rank(track.reported) if track.reported else None
    if before == rank(sample):
        return Track(sample)
    worse = rank(sample) > (before or 0)
    against = track.against + 1 if worse == track.worse else 1
    if against >= (policy.fail_after if worse else policy.pass_after):
        return Track(sample)
    return Track(track.reported, against, worse)


def is_news(before: Track, after: Track) -> bool:
    """Whether others should hear of this opinion at once; not where a region that was never seen is found well."""
    if after.reported is None:
        return False
    return rank(after.reported) != (rank(before.reported) if before.reported else 0)


def quorum(observers: int) -> int:
    """A majority of all configured observers, whether they answer or not."""
    return observers // 2 + 1


def verdicts(observers: Juries, seen: Seen) -> Mapping[str, Verdict]:
    """The verdict on every region. `observers` names, for each region, all nodes configured to judge it."""
    votes = {region: _votes(region, names, seen) for region, names in observers}
    needed = {region: quorum(len(names)) for region, names in observers}
    shared = shared_failures(votes, needed)
    return {region: _verdict(votes[region], needed[region], shared) for region, _ in observers}


def shared_failures(votes: Mapping[str, list[Observation]], needed: Mapping[str, int]) -> frozenset[str]:
    """The deep checks that fail in every region that a quorum sees alive."""
    if not [vote for told in votes.values() for vote in told if vote.failing]:
        return frozenset()
    alive = [region for region in votes if [vote.live for vote in votes[region]].count(True) >= needed[region]]
    failing = [_failing_by_quorum(votes[region], needed[region]) for region in alive]
    if not failing:
        return frozenset()
    return frozenset[str].intersection(*failing)


def _votes(region: str, observers: Iterable[str], seen: Seen) -> list[Observation]:
    return [seen[name][region] for name in observers if name in seen and region in seen[name]]


def _failing_by_quorum(votes: list[Observation], needed: int) -> frozenset[str]:
    told = [check for vote in votes for check in vote.failing]
    return frozenset(check for check in told if told.count(check) >= needed) if told else frozenset()


def _verdict(votes: list[Observation], needed: int, shared: frozenset[str]) -> Verdict:
    dead = well = 0
    for vote in votes:
        if not vote.live:
            dead += 1
        elif vote.well or (vote.failing and shared.issuperset(vote.failing)):
            well += 1
    if dead >= needed:
        return "down"
    if well >= needed:
        return "healthy"
    return "failing" if len(votes) - well >= needed else "unknown"
