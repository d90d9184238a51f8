"""Stand-ins for `run_case`: what comes of a case is a plain function of it, so that the machinery around is tested."""

import os
import signal
import sys
from hashlib import sha256

from proa.errors import AppNotFound
from proa.simulation.case import Fault, Moment, Run
from proa.simulation.history import Violation

KINDS = ("kill", "partition", "slow disk")
APP = """
from proa import App
app = App("shop", regions=["eu-west-1", "us-east-1"])
"""
DRILL = """
from proa.chaos import workload
class Workload(workload.Workload):
    def request(self, number, rng): ...
"""


def draw(seed):
    """Three faults, a second apart; which ones follows from the seed."""
    return tuple(Fault(KINDS[(seed + number) % 3], 1.0 + number, 2.0, ("eu-west-1",), 8.0) for number in range(3))


def run_of(case, violations=(), *, timeline=False, ok=None):
    """A run that depends on nothing but the case."""
    told = (Moment(1.5, "eu-west-1", "killed"), Moment(1.75, "client 1", "put [k] -> 503")) if timeline else ()
    return Run(
        case=case,
        violations=tuple(Violation(invariant, f"{invariant} of seed {case.seed}", (3, 5)) for invariant in violations),
        operations=case.requests,
        operations_ok=case.requests if ok is None else ok,
        coverage={fault.kind: 1 for fault in case.faults},
        trace_hash=sha256(repr(case).encode()).hexdigest(),
        simulated_s=case.duration_s,
        timeline=told,
    )


def holding(app, case, *, timeline=False):
    """Nothing is ever wrong."""
    return run_of(case, timeline=timeline)


def planted(app, case, *, timeline=False):
    """Every fifth seed loses a write when a partition lasts for a second or more, with ten requests or more."""
    cut = any(fault.kind == "partition" and fault.for_s >= 1 for fault in case.faults)
    wrong = case.seed % 5 == 0 and cut and case.requests >= 10
    return run_of(case, ["loss"] if wrong else (), timeline=timeline)


def moody(app, case, *, timeline=False):
    """Fails in a way that the case does not determine: never twice in one process."""
    first, moody.asked = case.seed not in moody.asked, moody.asked | {case.seed}
    return run_of(case, ["loss"] if first else (), timeline=timeline)


moody.asked = frozenset()


def barren(app, case, *, timeline=False):
    """One operation in a hundred succeeds, and only kills ever fire."""
    run = run_of(case, ok=case.requests // 100)
    return Run(case, (), run.operations, run.operations_ok, {"kill": 1}, run.trace_hash, run.simulated_s)


def dying(app, case, *, timeline=False):
    """The process of seed 7 is gone."""
    if case.seed == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_of(case)


def raising(app, case, *, timeline=False):
    """Seed 7 cannot be run."""
    if case.seed == 7:
        raise ValueError("no such port")
    return run_of(case)


def refusing(app, case, *, timeline=False):
    """No seed can be run, for a reason that has a code."""
    raise AppNotFound("no app for worlds")


def hanging(app, case, *, timeline=False):
    """Seed 7 never ends."""
    while case.seed == 7:
        signal.pause()
    return run_of(case)


def printing(app, case, *, timeline=False):
    """The author's handler prints."""
    sys.stdout.write("a handler's own words\n")
    sys.stdout.flush()
    return run_of(case)


def interrupting(app, case, *, timeline=False):
    """In the middle of seed 7, somebody presses Ctrl-C."""
    if case.seed == 7:
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
    return run_of(case)
