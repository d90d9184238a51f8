"""Profiles: which kinds of faults a run meets, and a seed's own choice of them.

Each fault is drawn from a stream of its own, so that a run with more faults begins with the same ones, and the same
seed breaks the same things whatever clients do. Every fault is over within the run. None lasts so long that all of them
together could keep a majority of regions out for half of it: there must be progress to contradict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from proa.app import CLOCK_BOUND_MS
from proa.simulation.case import Fault, ProfileName
from proa.simulation.faults.catalogue import KINDS
from proa.simulation.faults.disks import ROT
from proa.simulation.faults.kind import Scene

COUNT = 3
LONGEST_SHARE = 0.3
"""A fault lasts so much of a run at most."""
LOST_SHARE = 0.9
"""All faults of a run last so much of it at most: two at a time, no more than half of that."""

OUTAGE = {
    "kill": 4,
    "pause": 3,
    "region outage": 3,
    "witness kill": 3,
    "witness pause": 3,
    "throttle": 2,
    "stale routing": 2,
    "pause at a port call": 3,
    "pause inside fsync": 4,
    "kill at a port call": 4,
    "crash before fsync": 2,
    "crash inside fsync": 2,
    "crash after fsync": 2,
    "stale reply": 2,
}
PARTITION = {
    "partition one": 3,
    "partition majority": 3,
    "partition one way": 3,
    "partition bridge": 3,
    "partition rolling": 3,
    "partition spreading": 2,
    "global store unreachable": 3,
    "delay": 2,
    "loss": 2,
    "duplicate": 2,
    "reorder": 2,
    "lost reply": 2,
    "stale reply": 2,
    "stale routing": 2,
}
CLOCK = {
    "clock bump": 4,
    "clock strobe": 4,
    "clock skew": 4,
    "jump at a port call": 4,
    "pause": 2,
    "pause at a port call": 2,
    "pause inside fsync": 3,
    "delay": 2,
}
DISK = {
    "slow disk": 3,
    "full disk": 3,
    "dying disk": 5,
    "crash before fsync": 4,
    "crash inside fsync": 4,
    "crash after fsync": 3,
    "lost disk": 3,
    "old disk": 3,
    "kill at a port call": 2,
}
ROTTEN = {
    ROT: 10,
    "kill": 2,
    "pause": 2,
    "partition one": 3,
    "delay": 2,
    "slow disk": 2,
    "crash after fsync": 2,
}
DEPENDENCY = {
    "dependency failing": 4,
    "dependency slow": 4,
    "dependency gone": 4,
    "kill": 1,
    "pause": 1,
    "partition one": 1,
    "delay": 1,
}
FOUR = (OUTAGE, PARTITION, CLOCK, DISK)
EVERYTHING = {kind: max(each.get(kind, 0) for each in FOUR) for kind in KINDS if any(kind in each for each in FOUR)}
PROFILES: Mapping[ProfileName, Mapping[str, int]] = {
    "outage": OUTAGE,
    "partition": PARTITION,
    "clock": CLOCK,
    "disk": DISK,
    "rot": ROTTEN,
    "dependency": DEPENDENCY,
    "everything": EVERYTHING,
}
"""The weight of each kind of a profile; more for what strikes at a single instant, since few requests meet it."""


def kinds(profile: ProfileName, dependencies: Sequence[str]) -> tuple[str, ...]:
    """The kinds of faults of a profile, for an app with these dependencies."""
    return tuple(kind for kind in PROFILES[profile] if dependencies or not KINDS[kind].depends)


def called(dependency: str) -> str:
    """Under what a run's coverage counts the calls that reached a dependency."""
    return f"calls of {dependency}"


def misses(profile: ProfileName, dependencies: Sequence[str], coverage: Mapping[str, int]) -> Iterator[str]:
    """Why a profile could strike nothing of what it is about, whatever the seeds."""
    if not any(KINDS[kind].depends for kind in PROFILES[profile]):
        return
    if not dependencies:
        yield f"profile {profile} breaks what an app depends on, and this one declares no dependency"
    elif not any(coverage.get(called(name)) for name in dependencies):
        yield f"no request of the workload called {' or '.join(dependencies)}, so that profile {profile} broke nothing"


def draw(
    profile: ProfileName,
    seed: int,
    regions: Sequence[str],
    duration_s: float,
    *,
    count: int = COUNT,
    clock_bound_ms: float = CLOCK_BOUND_MS,
    dependencies: Sequence[str] = (),
) -> tuple[Fault, ...]:
    """The faults of a seed, in the order in which they begin."""
    longest_s = duration_s * min(LONGEST_SHARE, LOST_SHARE / max(count, 1))
    scene = Scene(tuple(regions), longest_s, clock_bound_ms / 1000, tuple(dependencies))
    weights = {kind: PROFILES[profile][kind] for kind in kinds(profile, dependencies)}
    faults: list[Fault] = []
    for number in range(count):
        rng = Random(f"{seed}/fault {number}")  # noqa: S311 - to be repeated, never a secret
        faults.append(_fault(rng, _allowed(weights, faults), scene, duration_s))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _allowed(weights: Mapping[str, int], before: Sequence[Fault]) -> Mapping[str, int]:
    """One loss of data a run: the guarantees are for the loss of one region."""
    if not any(KINDS[fault.kind].destroys for fault in before):
        return weights
    return {kind: weight for kind, weight in weights.items() if not KINDS[kind].destroys}


def _fault(rng: Random, weights: Mapping[str, int], scene: Scene, duration_s: float) -> Fault:
    kind = rng.choices(list(weights), list(weights.values()))[0]
    at_s = rng.uniform(0, duration_s - scene.longest_s)
    nodes, for_s, amount = KINDS[kind].draw(rng, scene)
    return Fault(kind, round(at_s, 3), round(for_s, 3), nodes, round(amount, 6))
