"""A batch: one case a seed, all under one profile, and what they say together.

A batch that found nothing is worth something only if it looked: faults must have struck while requests were under way,
and enough requests must have been served for there to be anything to contradict. So both are counted, and too little of
either fails the batch.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from proa.errors import UsageError
from proa.simulation.case import Case, Fault, ProfileName, Run
from proa.simulation.profiles import kinds, misses
from proa.simulation.replay import replay_of, save
from proa.simulation.runner import Worker, spread
from proa.simulation.shrink import Shrinking, Shrunk, shrink

SHRUNK_MAX = 3
"""So many failing cases are shrunk and told; the others are kept as they are."""
COVERAGE_FROM_SEEDS = 300
"""From so many seeds on, a kind of fault that never fired is no chance any more."""
OK_SHARE_MIN = 0.5
"""At least this share of all operations must succeed."""


Draw = Callable[[int], tuple[Fault, ...]]
"""Draws the faults of a seed."""


@dataclass(frozen=True, kw_only=True)
class SimOptions:
    """What to simulate."""

    seeds: int = 200
    """How many worlds, one a seed."""
    from_seed: int = 1
    """The first seed."""
    profile: ProfileName = "everything"
    """Which kinds of faults."""
    jobs: int | None = None
    """How many worlds at once; as many as there are cores unless given."""
    requests: int = 90
    """How many requests clients send in each world."""
    duration_s: float = 20.0
    """Over how many simulated seconds they are spread."""
    faults: int = 3
    """How many faults strike in each world."""
    order: Literal["fifo", "seeded"] = "fifo"
    """Whether ready tasks run in turn or in a permutation that the seed gives."""

    def __post_init__(self) -> None:
        for name, least in (("seeds", 1), ("from_seed", 0), ("jobs", 1), ("requests", 1), ("faults", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be {least} or more, got {value}")
        if self.duration_s <= 0:
            raise UsageError(f"duration_s must be positive, got {self.duration_s:g}")

    @property
    def workers(self) -> int:
        """How many processes to start: no more than there are seeds."""
        return min(self.jobs or os.cpu_count() or 1, self.seeds)

    def cases(self, app: str, draw: Draw) -> Iterator[Case]:
        """The cases, one a seed."""
        for seed in range(self.from_seed, self.from_seed + self.seeds):
            yield Case(app, seed, self.profile, draw(seed), self.requests, self.duration_s, self.order)


class Failing(msgspec.Struct, frozen=True):
    """A seed with a violation. `file` replays it."""

    seed: int
    invariant: str
    detail: str
    file: str


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch says. `coverage`: fault -> times it fired while operations were in flight.

    `trace_hash` is over the hashes of all seeds in their order: equal wherever the batch is run, with any number of
    jobs. `complaints` say why the batch proves too little, if it does.
    """

    app: str
    profile: ProfileName
    from_seed: int
    seeds: int
    held: int
    violated: int
    failing: tuple[Failing, ...]
    complaints: tuple[str, ...]
    scenarios_per_minute: float
    simulated_s: float
    coverage: dict[str, int]
    operations: int
    operations_ok: int
    trace_hash: str


class Account(msgspec.Struct, frozen=True):
    """A failing case taken apart: as it was, as small as it became, and that run with its timeline."""

    was: Case
    shrunk: Shrunk
    run: Run
    file: str


class Listener(Protocol):
    """Hears of a batch's progress."""

    def begun(self, tally: Tally) -> None:
        """The first cases are handed out."""

    def counted(self, tally: Tally) -> None:
        """One more case is over."""

    def found(self, failing: Failing) -> None:
        """It violated an invariant."""

    def shrinking(self, progress: Shrinking) -> None:
        """A smaller case violates it, too."""


class Tally:
    """What has come of a batch up to now. `faults` are the kinds that may fire: those of the profile unless given."""

    def __init__(
        self,
        app: str,
        options: SimOptions,
        dependencies: Sequence[str] = (),
        *,
        faults: Sequence[str] | None = None,
    ) -> None:
        self.app, self.options = app, options
        self._dependencies = dependencies
        self._hashes: dict[int, str] = {}
        self._coverage = Counter(dict.fromkeys(kinds(options.profile, dependencies) if faults is None else faults, 0))
        self._operations = self._ok = 0
        self._simulated_s = 0.0
        self._began = self._seconds = 0.0
        self.failing: dict[int, Failing] = {}

    @property
    def done(self) -> int:
        """How many cases are over."""
        return len(self._hashes)

    @property
    def per_minute(self) -> float:
        """How many would be over in a minute of real time."""
        return round(60 * self.done / self._seconds, 1) if self._seconds else 0.0

    def begin(self) -> None:
        """From here on time counts."""
        self._began = time.monotonic()

    def add(self, run: Run) -> None:
        """Count one run."""
        self._hashes[run.case.seed] = run.trace_hash
        self._coverage.update(run.coverage)
        self._operations += run.operations
        self._ok += run.operations_ok
        self._simulated_s += run.simulated_s
        self._seconds = time.monotonic() - self._began

    def keep(self, run: Run, invariant: str, folder: Path) -> Failing:
        """Write a failing run's file, over the one of a longer case with this seed."""
        replay = replay_of(run, invariant)
        file = folder / f"{self.app}-{self.options.profile}-{replay.seed}.json"
        save(replay, file)
        self.failing[replay.seed] = Failing(replay.seed, invariant, replay.detail, str(file))
        return self.failing[replay.seed]

    def report(self) -> BatchReport:
        """All of it."""
        return BatchReport(
            app=self.app,
            profile=self.options.profile,
            from_seed=self.options.from_seed,
            seeds=self.done,
            held=self.done - len(self.failing),
            violated=len(self.failing),
            failing=tuple(self.failing[seed] for seed in sorted(self.failing)),
            complaints=tuple(self._complaints()),
            scenarios_per_minute=self.per_minute,
            simulated_s=round(self._simulated_s, 3),
            coverage=dict(sorted(self._coverage.items())),
            operations=self._operations,
            operations_ok=self._ok,
            trace_hash=self._trace_hash(),
        )

    def _complaints(self) -> Iterator[str]:
        if self._ok < OK_SHARE_MIN * self._operations or not self._ok:
            yield (
                f"only {self._ok} of {self._operations} operations succeeded, less than {OK_SHARE_MIN:.0%}: "
                "too few to contradict anything"
            )
        if self.options.faults:
            yield from misses(self.options.profile, self._dependencies, self._coverage)
        if self.done >= COVERAGE_FROM_SEEDS and self.options.faults:
            never = [kind for kind, times in sorted(self._coverage.items()) if not times]
            yield from (f"{kind} never fired while requests were under way, in {self.done} seeds" for kind in never)

    def _trace_hash(self) -> str:
        return sha256("\n".join(self._hashes[seed] for seed in sorted(self._hashes)).encode()).hexdigest()


def run_batch(
    workers: Sequence[Worker], tally: Tally, cases: Iterable[Case], folder: Path, listener: Listener
) -> list[Account]:
    """Run all cases, keep a file for each failing one in `folder`, then shrink the first few and tell their runs.

    Raises:
        ProaError: a case could not be run; the error names its seed.
    """
    failing: dict[int, Run] = {}
    tally.begin()
    listener.begun(tally)
    for run in spread(workers, cases):
        tally.add(run)
        if run.violations:
            failing[run.case.seed] = run
            listener.found(tally.keep(run, run.violations[0].invariant, folder))
        listener.counted(tally)
    return [_account(failing[seed], tally, workers[0], folder, listener) for seed in sorted(failing)[:SHRUNK_MAX]]


def _account(run: Run, tally: Tally, worker: Worker, folder: Path, listener: Listener) -> Account:
    shrunk = shrink(run, run.violations[0].invariant, worker.run, listener.shrinking)
    kept = tally.keep(shrunk.run, shrunk.invariant, folder)
    return Account(run.case, shrunk, worker.run(shrunk.run.case, timeline=True), kept.file)
