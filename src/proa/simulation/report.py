"""A simulation for people: how far a batch has got, its figures, and a failing run as a story that can be followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from proa.chaos.report import console
from proa.simulation.batch import Account, BatchReport, Failing, Tally
from proa.simulation.case import Case, Fault, Moment, Run
from proa.simulation.replay import Verdict
from proa.simulation.shrink import Shrinking, Shrunk

TOLD_EVERY_S = 5.0
FAILING_SHOWN = 10
VIOLATIONS_SHOWN = 5


class Narrator:
    """Tells a batch as it goes on: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, out: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or console(stderr=True)
        self._clock = clock
        self._told_at = clock()
        columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self._out, transient=True, disable=not self._out.is_terminal)
        self._seeds = self._bar.add_task("")
        self._size = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def begun(self, tally: Tally) -> None:
        """The first cases are handed out."""
        self._say(f"{tally.options.seeds} worlds of {tally.app}, {tally.options.workers} at a time")

    def counted(self, tally: Tally) -> None:
        """One more case is over."""
        figures = f"{tally.per_minute:g} a minute, {len(tally.failing)} violated"
        self._bar.update(self._seeds, completed=tally.done, total=tally.options.seeds, description=figures)
        if not self._out.is_terminal and self._clock() - self._told_at >= TOLD_EVERY_S:
            self._told_at = self._clock()
            self._say(f"{tally.done} of {tally.options.seeds} seeds, {figures}")

    def found(self, failing: Failing) -> None:
        """A seed violated an invariant."""
        self._say(f"seed {failing.seed} violates {failing.invariant}: {failing.file}")

    def shrinking(self, progress: Shrinking) -> None:
        """A smaller case violates it, too."""
        left = f"seed {progress.case.seed} still fails with {size(progress.case)}"
        if left != self._size:
            self._size = left
            self._say(f"{left} (run {progress.runs})")

    def _say(self, text: str) -> None:
        self._out.print(Text(text, style="dim"), soft_wrap=True)


def size(case: Case) -> str:
    """How large a case is."""
    faults = len(case.faults or ())
    return f"{_count(faults, 'fault')}, {_count(case.requests, 'request')}, {case.duration_s:g} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show_batch(report: BatchReport, out: Console | None = None) -> None:
    """Print a batch's figures."""
    out = out or console()
    colour, verdict = ("red", f"{report.violated} violated") if report.violated else ("green", "held")
    worlds = f"{report.seeds} worlds under profile {report.profile}"
    out.print(f"[bold]{report.app}[/]: {worlds}: [bold {colour}]{verdict}[/]")
    out.print(Padding(_figures(report), (0, 2)))
    for said in (*_violated(report), *report.complaints):
        out.print(Text(f"  {said}", style="red"), soft_wrap=True)


def _figures(report: BatchReport) -> Table:
    table = Table.grid(padding=(0, 2))
    last = report.from_seed + report.seeds - 1
    fired = ", ".join(f"{kind} {times}" for kind, times in report.coverage.items())
    for name, value in (
        ("seeds", f"{report.from_seed} to {last}, {report.scenarios_per_minute:g} a minute"),
        ("simulated", f"{report.simulated_s:g} s"),
        ("operations", f"{report.operations_ok} of {report.operations} succeeded"),
        ("faults fired", fired or "none"),
        ("trace hash", report.trace_hash),
    ):
        table.add_row(f"[dim]{name}[/]", Text(value, overflow="fold"))
    return table


def _violated(report: BatchReport) -> Iterator[str]:
    for failing in report.failing[:FAILING_SHOWN]:
        yield f"seed {failing.seed} violates {failing.invariant}; replay it: proa sim replay {failing.file}"
    if len(report.failing) > FAILING_SHOWN:
        yield f"{len(report.failing) - FAILING_SHOWN} more seeds; see the JSON"


def show_account(account: Account, out: Console | None = None) -> None:
    """Print a failing case: what is left of it, and its course."""
    out = out or console()
    out.print()
    show_shrunk(account.was, account.shrunk, out)
    show_run(account.run, out)
    out.print(Text(f"\n  again: proa sim replay {account.file}"), soft_wrap=True)


def show_shrunk(was: Case, shrunk: Shrunk, out: Console | None = None) -> None:
    """Print what shrinking a case came to."""
    out = out or console()
    out.print(f"[bold]seed {was.seed}[/] violates [bold red]{shrunk.invariant}[/]")
    out.print(Text(f"  {_shrunk(was, shrunk)}"), soft_wrap=True)


def _shrunk(was: Case, shrunk: Shrunk) -> str:
    if not shrunk.repeated:
        return "run again, the same case did not violate it: the run depends on something outside its world"
    rest = "" if shrunk.complete else "; a limit was reached, `proa sim shrink` goes on"
    return f"with {size(shrunk.run.case)}, shrunk from {size(was)} in {shrunk.runs} runs{rest}"


def show_run(run: Run, out: Console | None = None) -> None:
    """Print a run's faults, its timeline, and what was violated."""
    out = out or console()
    if run.case.faults:
        out.print(Padding(_faults(run.case.faults), (1, 2, 0, 2)))
    if run.timeline:
        out.print(Padding(_timeline(run.timeline), (1, 2, 0, 2)))
    out.print()
    for violation in run.violations[:VIOLATIONS_SHOWN]:
        operations = ", ".join(map(str, violation.operations))
        named = f" (operations {operations})" if operations else ""
        out.print(Text(f"  violated {violation.invariant}: {violation.detail}{named}", style="red"), soft_wrap=True)
    if len(run.violations) > VIOLATIONS_SHOWN:
        out.print(f"  and {len(run.violations) - VIOLATIONS_SHOWN} more")


def _faults(faults: Sequence[Fault]) -> Table:
    table = Table("fault", "at", "for", "nodes", "amount", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for fault in faults:
        lasts = f"{fault.for_s:g} s" if fault.for_s else "at once"
        amount = f"{fault.amount:g}" if fault.amount else ""
        table.add_row(fault.kind, f"{fault.at_s:.3f} s", lasts, Text(", ".join(fault.nodes)), amount)
    return table


def _timeline(moments: Sequence[Moment]) -> Table:
    table = Table("at", "who", "what", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for moment in moments:
        table.add_row(f"{moment.at_s:.3f} s", Text(moment.who), Text(moment.what))
    return table


def show_verdict(verdict: Verdict, run: Run, out: Console | None = None) -> None:
    """Print what a replay said."""
    out = out or console()
    colour, said = ("red", "violated") if verdict.violated else ("green", "held")
    out.print(f"[bold]seed {run.case.seed}[/] with {size(run.case)}: {verdict.invariant} [bold {colour}]{said}[/]")
    same = "the same course as in the file" if verdict.same_trace else "another course than in the file"
    out.print(Text(f"  {same} (trace hash {run.trace_hash})"), soft_wrap=True)
    show_run(run, out)
