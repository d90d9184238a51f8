"""Looks for every mutant and writes down what finds it: `python -m tests.simulation.mutants [NAME ...] [--runs 1000]`.

`--acting guests` goes only through the runs in which such a workload acts: that costs less where no other can show it.

Scenarios of the standard apps are run under the standard profiles in turn, seed after seed, until one contradicts a
guarantee that the whole framework keeps under the same seed. The finds are kept in `found.json`, which the tests run
again, and from which the page `docs/reference/simulation-mutants.md` is made.
"""

import argparse
import gc
import sys
import time
from itertools import count, islice

from proa.app import load_app
from proa.simulation.case import Case
from proa.simulation.scenario import acting, run_case
from proa.simulation.workloads.catalogue import all_for, retained

from . import NAMES, planted
from ._finds import PLACES, Find, load, save
from ._page import write

COLLECT_EVERY = 20
"""Worlds leave cycles behind."""


def main() -> int:
    """Search, tell, and keep what was found; 1 where something was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to look for (default: all)")
    parser.add_argument("--runs", type=int, default=1000, help="scenarios to try for each (default: %(default)s)")
    parser.add_argument("--acting", default="", metavar="WORKLOAD", help="try only those in which such workloads act")
    asked = parser.parse_args()
    finds = load()
    for name in asked.names or NAMES:
        finds.pop(name, None)
        if find := search(name, asked.runs, asked.acting):
            finds[name] = find
        sys.stdout.write(f"{name}: {find or 'NOT FOUND'}\n")
        sys.stdout.flush()
        save(finds)
    write(finds)
    return 1 if set(asked.names or NAMES) - finds.keys() else 0


def search(name: str, runs: int, workload: str = "") -> Find | None:
    """The first case that finds the mutant, among those in which this workload acts."""
    began = time.perf_counter()
    for number, case in islice(
        ((number, case) for number, case in enumerate(cases(), 1) if acts(case, workload)), runs
    ):
        with planted(name):
            found = violations(case)
        took_s = time.perf_counter() - began
        if found and not violations(case):
            return Find(
                case.app, case.profile, case.seed, found[0].invariant, number, 0.0 if workload else round(took_s, 1)
            )
        if number % COLLECT_EVERY == 0:
            gc.collect()
    return None


def cases():
    """Each seed under every profile, by turns in each of the apps."""
    for seed in count():
        for app, profile in PLACES:
            yield Case(app, seed, profile)


def acts(case, workload):
    """Whether a workload with this in its name acts in the case."""
    app = load_app(case.app)
    return not workload or any(
        workload in one.name for one in acting(all_for(app), retained(app, case.seed), case.seed)
    )


def violations(case):
    """What a run of the case contradicts."""
    return run_case(load_app(case.app), case).violations


if __name__ == "__main__":
    sys.exit(main())
