"""A case: all that one simulated run follows from, and what came out of it.

The same case gives the same run in every process. Where `faults` are not given they are drawn from the seed; a run
tells which they were, so that a failing case is kept with its faults and shrinks by leaving some of them out.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proa.simulation.history import Violation

ProfileName = Literal["outage", "partition", "clock", "disk", "rot", "dependency", "everything"]


class Fault(msgspec.Struct, frozen=True):
    """One thing broken on purpose: `kind` at `at_s`, for `for_s` seconds (0: at once and over), to `nodes`.

    `amount` is the kind's own measure: seconds of delay or jump, a probability, a rate, or the number of a port call.
    """

    kind: str
    at_s: float
    for_s: float
    nodes: tuple[str, ...]
    amount: float = 0.0


class Case(msgspec.Struct, frozen=True):
    """One run: `requests` operations spread over `duration_s` simulated seconds, under the faults of a profile.

    `app` is the app as on the command line. `order` says whether ready tasks run in turn or in a seeded permutation.
    """

    app: str
    seed: int
    profile: ProfileName = "everything"
    faults: tuple[Fault, ...] | None = None
    requests: int = 90
    duration_s: float = 20.0
    order: Literal["fifo", "seeded"] = "fifo"


class Moment(msgspec.Struct, frozen=True):
    """One line of a run's timeline."""

    at_s: float
    who: str
    what: str


class Run(msgspec.Struct, frozen=True):
    """What came of a case, whose `faults` are now given. `coverage` counts faults that fired while requests ran."""

    case: Case
    violations: tuple[Violation, ...]
    operations: int
    operations_ok: int
    coverage: dict[str, int]
    trace_hash: str
    simulated_s: float
    timeline: tuple[Moment, ...] = ()
