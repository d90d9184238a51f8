"""A drill for people: what happens as it happens, and the account at the end. Its JSON is the report itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from proa.chaos.account import DrillReport
from proa.chaos.demo import ActBegun
from proa.chaos.load import Tick
from proa.chaos.messages import MessageAccount
from proa.chaos.progress import (
    ApprovalGiven,
    FailBackRequested,
    FaultInjected,
    LoadEnded,
    LoadStarted,
    PlanStepped,
    Prepared,
    ReadBack,
    RegionReturned,
)

TICKS_TOLD_EVERY_S = 2.0
LOST_SHOWN = 5
FAULTS = {
    "kill": "killed: its process is gone",
    "pause": "paused: its process stands still",
    "blackout": "blacked out: it lives, its bytes are swallowed",
}


def console(*, stderr: bool = False) -> Console:
    """A console that heeds NO_COLOR and is plain where there is no terminal."""
    return Console(
        file=sys.stderr if stderr else sys.stdout, highlight=False, no_color="NO_COLOR" in os.environ or None
    )


class Narrator:
    """Tells a drill as it happens: seconds since the load began, and a sentence.

    Figures of the load are told now and then, and at once when requests begin or cease to fail.
    """

    def __init__(self, out: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or console(stderr=True)
        self._clock = clock
        self._began = clock()
        self._told_at = 0.0
        self._failing = False

    def __call__(self, event: msgspec.Struct) -> None:
        now = self._clock()
        if isinstance(event, LoadStarted):
            self._began = now
        if isinstance(event, Tick) and not self._worth_telling(event, now):
            return
        if isinstance(event, ActBegun):
            self._out.print(f"\n[bold]{event.app}[/]: {event.what}")
        elif said := sentence(event):
            self._out.print(f"  [dim]{now - self._began:6.2f} s[/]  {said}")

    def _worth_telling(self, tick: Tick, now: float) -> bool:
        changed = self._failing != bool(tick.failed)
        if not changed and now - self._told_at < TICKS_TOLD_EVERY_S:
            return False
        self._failing, self._told_at = bool(tick.failed), now
        return True


def sentence(event: msgspec.Struct) -> str | None:  # noqa: C901, PLR0911 - one flat table: an event, its sentence
    """An event in words; None for what is no part of the story."""
    match event:
        case Prepared(app, regions, edge_url):
            return f"{app} runs in {', '.join(regions)}; clients enter at {edge_url}"
        case LoadStarted(rate, seed):
            return f"{rate:g} requests a second, at fixed due times (seed {seed})"
        case Tick(failed=0) as tick:
            return f"[green]{tick.sent} answered[/], p50 {tick.p50_ms:g} ms, p99 {tick.p99_ms:g} ms"
        case Tick() as tick:
            return f"[yellow]{tick.failed} of {tick.sent} failed[/], p50 {tick.p50_ms:g} ms, p99 {tick.p99_ms:g} ms"
        case FaultInjected(region, how):
            return f"[bold red]{region} is {FAULTS[how]}[/]"
        case PlanStepped(plan, kind, step):
            return f"plan {plan} ({kind}): [cyan]{step}[/]"
        case ApprovalGiven(plan, _, by, accept_lost):
            accepted = (
                "" if accept_lost is None else f", accepting {accept_lost} known lost writes and the unknown rest"
            )
            return f"[bold]{by} approved plan {plan}{accepted}[/]"
        case RegionReturned(region, role):
            return f"[bold green]{region} is back[/]: caught up, {role}"
        case FailBackRequested(plan, by):
            return f"[bold]{by} asked to fail back[/] (plan {plan})"
        case LoadEnded(records, cpu_ms):
            return f"the load is over: {records} answers, {cpu_ms:g} ms of CPU each"
        case ReadBack(region, asked, absent):
            return f"read {asked} acknowledged writes back from {region}: {absent} absent"
        case _:
            return None


def show(report: DrillReport, out: Console | None = None) -> None:
    """Print the account."""
    out = out or console()
    colour = "green" if report.verdict == "held" else "red"
    out.print(
        f"\n[bold]{report.app}[/] ({report.topology}) lost {report.lost_region} by {report.how}: "
        f"[bold {colour}]{report.verdict}[/]"
    )
    out.print(Padding(_figures(report), (0, 2)))
    if report.timeline:
        out.print(Padding(_timeline(report), (0, 2)))
    for said in _complaints(report):
        out.print(f"  [red]{said}[/]")


def _figures(report: DrillReport) -> Table:
    table = Table.grid(padding=(0, 2))
    repeats = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(report.repeats.items()))
    recovered = f"{report.rto_s:g} s from the fault"
    if report.rto_after_approval_s is not None:
        recovered += f", {report.rto_after_approval_s:g} s from the approval"
    stall, lag = report.stall_ms, report.lag_ms
    failed = f"{report.failed} failed ({report.failed_idempotent} idempotent)"
    for name, value in (
        ("requests", f"{report.requests} through the edge: {report.ok} answered, {failed}"),
        ("failures", ", ".join(f"{count} x {why}" for why, count in report.failures.items()) or "none"),
        ("repeated keys", repeats or "none"),
        ("acknowledged", f"{report.acknowledged} writes: {len(report.lost_writes)} lost, {_doubled(report)}"),
        ("unreplicated", f"{report.rpo_writes} acknowledged writes at the fault"),
        *([("messages", _messages(report.messages))] if report.messages else []),
        ("recovery", recovered),
        ("stall", f"p50 {stall.p50:g} ms, p99 {stall.p99:g} ms, longest {stall.max:g} ms"),
        ("lag", "nothing to replicate" if not lag.p99 else f"p50 {lag.p50:g} ms, p99 {lag.p99:g} ms"),
    ):
        table.add_row(f"[dim]{name}[/]", value)
    return table


def _doubled(report: DrillReport) -> str:
    if not report.duplicates_listed:
        return f"{report.duplicates} doubled"
    listed, handled = report.duplicates_listed, report.duplicates_handled
    return f"{report.duplicates} doubled ({listed} keys listed as used in two regions, {handled} of them dealt with)"


def _messages(found: MessageAccount) -> str:
    reconciled = f" ({found.reconciled} handled before by commits that were set aside)" if found.reconciled else ""
    return (
        f"{found.in_flight} in flight at the fault, {found.adopted} of them adopted: "
        f"{found.duplicated} duplicated, {found.lost} lost{reconciled}"
    )


def _timeline(report: DrillReport) -> Table:
    table = Table("phase", "at", "took", box=None, header_style="dim")
    for phase in report.timeline:
        table.add_row(phase.phase, f"{phase.at_s:+.3f} s", f"{phase.took_s:.3f} s")
    return table


def _complaints(report: DrillReport) -> Iterator[str]:
    yield from (f"violated: {violation}" for violation in report.violations)
    for write in report.lost_writes[:LOST_SHOWN]:
        back = ", back with that region's disk" if write.returned else ""
        yield f"lost: {write.key} (commit {write.commit or 'unknown'}), acknowledged by {write.region}{back}"
    if len(report.lost_writes) > LOST_SHOWN:
        yield f"lost: {len(report.lost_writes) - LOST_SHOWN} more; see the JSON"
