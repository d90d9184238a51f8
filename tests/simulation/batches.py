"""The standard apps under every profile: `python -m tests.simulation.batches [--seeds 120] [--few 24]`.

Each batch is that of `proa sim run`. All of them share one crew: to start processes for each would cost as much as
hundreds of worlds.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import product

from proa.app import load_app
from proa.cli.sim import simulate
from proa.simulation.batch import SimOptions
from proa.simulation.runner import crew
from proa.simulation.scenario import run_case

WORKLOADS = "proa.simulation.workloads"
PROFILES = ("outage", "partition", "clock", "disk", "everything")
MANY = ("standard:active_active", "standard:active_passive")
FEW = (
    "standard:confirmed_trio",
    "standard:homes",
    "messaging:active_active",
    "messaging:active_passive",
    "scheduled:scheduled",
    "errands:errands",
)
"""What the others reach too seldom; such a world costs several of theirs."""
DEPENDENT = ("dependent:app", "dependency")


def plan(seeds, few):
    """The batches: an app, and what to simulate."""
    for count, apps in ((seeds, MANY), (few, FEW)):
        for app, profile in product(apps, PROFILES):
            yield f"{WORKLOADS}.{app}", SimOptions(profile=profile, seeds=count)
    app, profile = DEPENDENT
    yield f"{WORKLOADS}.{app}", SimOptions(profile=profile, seeds=few)


def run_any(_, case, *, timeline=False):
    """Run a case of whichever app it is of."""
    return run_case(load_app(case.app), case, timeline=timeline)


def main(arguments: Sequence[str]) -> int:
    """Run the batches; the exit code of the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.batches", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=120, help="worlds for each of MANY (default: %(default)s)")
    parser.add_argument("--few", type=int, default=24, help="worlds for each of FEW (default: %(default)s)")
    asked = parser.parse_args(arguments)
    batches = list(plan(asked.seeds, asked.few))
    with crew(batches[0][0], os.cpu_count() or 1, run_any) as workers:
        codes = (simulate(target, load_app(target), options, workers) for target, options in batches)
        return next(filter(None, codes), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
