"""`proa sim ...`: an app through thousands of outages, in worlds of virtual time; and a failing one again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

from cyclopts import App as Cli
from cyclopts import Parameter
from msgspec.structs import asdict

from proa.app import App
from proa.chaos.workload import drill_file
from proa.cli.output import FAILED, OK, VIOLATED, console, note, print_json
from proa.local.plane import declared
from proa.operate.reach import BASE
from proa.simulation.batch import BatchReport, SimOptions, Tally, run_batch
from proa.simulation.case import Fault
from proa.simulation.profiles import draw
from proa.simulation.replay import judge, load, replay_of, save
from proa.simulation.report import Narrator, show_account, show_batch, show_shrunk, show_verdict
from proa.simulation.runner import Worker, crew, run_here
from proa.simulation.scenario import run_case
from proa.simulation.shrink import shrink as search
from proa.simulation.workloads.catalogue import all_for

_DEFAULTS = SimOptions()
FOLDER = BASE / "sim"

sim = Cli(name="sim", result_action="return_value", help_format="plaintext")


@sim.command
def run(
    app: str,
    *,
    options: Annotated[SimOptions, Parameter(name="*")] = _DEFAULTS,
    out: Path = FOLDER,
    json: bool = False,
) -> int:
    """Run an app through one world a seed, each with faults of its own, and check what clients saw.

    Exits with 3 where an invariant was violated, and with 1 where the worlds prove too little: a kind of fault never
    fired, nothing called what the profile breaks, or too few operations succeeded.

    Args:
        app: a folder with `app.py` and `drill.py`, a file, or `module:attribute`.
        options: what to simulate.
        out: the folder for a replay file of each failing seed.
        json: print the report as JSON.
    """
    found = _judged(app)
    with crew(app, options.workers, run_case) as workers:
        return simulate(app, found, options, workers, out, as_json=json)


def simulate(
    target: str, app: App, options: SimOptions, workers: Sequence[Worker], out: Path = FOLDER, *, as_json: bool = False
) -> int:
    """Run one batch on workers that are ready, and tell what came of it; the exit code of `proa sim run`."""
    dependencies = tuple(app.dependencies)
    tally = Tally(app.name, options, dependencies)
    cases = options.cases(target, lambda seed: _faults(app, options, seed))
    with Narrator() as narrator:
        accounts = run_batch(workers, tally, cases, out, narrator)
    report = tally.report()
    if as_json:
        print_json(report)
    else:
        show_batch(report)
    for account in accounts:
        show_account(account, console(stderr=as_json))
    return _exit_code(report)


def _judged(target: str) -> App:
    """The app, which brings a workload unless it is one of those that the framework itself is judged by."""
    found = declared(target)
    if not all_for(found):
        drill_file(target)
    return found


def _faults(app: App, options: SimOptions, seed: int) -> tuple[Fault, ...]:
    return draw(
        options.profile,
        seed,
        app.regions,
        options.duration_s,
        count=options.faults,
        clock_bound_ms=app.clock_bound_ms,
        dependencies=tuple(app.dependencies),
    )


def _exit_code(report: BatchReport) -> int:
    if report.violated:
        return VIOLATED
    return FAILED if report.complaints else OK


@sim.command
def replay(file: Path, *, json: bool = False) -> int:
    """Run a failing case again, in this process, and tell its course.

    Exits with 3 where an invariant is still violated, with 0 where all hold now.

    Args:
        file: a file that `proa sim run` wrote.
        json: print the verdict and the course as JSON.
    """
    kept = load(file)
    found = declared(kept.app)
    with redirect_stdout(sys.stderr) if json else nullcontext():  # a handler's own words are not the command's data
        again = run_here(found, kept.case, run_case, timeline=True)
    verdict = judge(kept, again)
    for name, (then, now) in verdict.changed.items():
        note(f"{name} has changed: {then or 'unknown'} when the file was written, {now or 'unknown'} now")
    if json:
        print_json({"file": str(file), "seed": kept.seed, **asdict(verdict), "run": again})
    else:
        show_verdict(verdict, again)
    return VIOLATED if again.violations else OK


@sim.command
def shrink(file: Path, *, json: bool = False) -> int:
    """Make a failing case smaller while it violates the same invariant, and write it back.

    Args:
        file: a file that `proa sim run` wrote.
        json: print what the file holds now as JSON.
    """
    kept = load(file)
    declared(kept.app)
    with Narrator() as narrator, crew(kept.app, 1, run_case) as (worker,):
        shrunk = search(worker.run(kept.case), kept.invariant, worker.run, narrator.shrinking)
    if not shrunk.repeated:
        note(f"{file}: {kept.invariant} is not violated any more; the file stays as it is")
        return FAILED
    smaller = replay_of(shrunk.run, shrunk.invariant)
    save(smaller, file)
    if json:
        print_json(smaller)
    else:
        show_shrunk(kept.case, shrunk)
    return OK
