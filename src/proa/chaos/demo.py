"""The demo: both examples lose a region under load, and the system shows what that cost.

First the authorizer: its active region is killed, a person approves the fail-over, the region returns, two people fail
back to it, and requests arrive all the while. Then payments: one of three active regions is killed, and no charge may
fail, be lost or be doubled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from proa.chaos.account import DrillReport, Verdict
from proa.chaos.drill import rehearse
from proa.chaos.options import DrillOptions, Launch
from proa.chaos.progress import Progress

Acts = tuple[tuple[str, str, DrillOptions], ...]
ACTS: Acts = (
    (
        "authorizer",
        "active-passive: the active region is killed, a person approves, and later two people fail back",
        DrillOptions(how="kill", rate=200, fault_after_s=3, approve_after_s=1, fail_back=True),
    ),
    (
        "payments",
        "active-active: one of three regions is killed",
        DrillOptions(how="kill", rate=300, duration_s=9, fault_after_s=3, lease_s=1),
    ),
)
"""Each act: the example's folder, what happens, and the drill."""


class ActBegun(msgspec.Struct, frozen=True):
    """The next act of the demo begins."""

    app: str
    what: str


class DemoReport(msgspec.Struct, frozen=True):
    """Both accounts, and whether every promise held."""

    verdict: Verdict
    took_s: float
    drills: list[DrillReport]


LaunchFor = Callable[[str], Launch]
"""The launch of the app at a target."""


async def demo(examples: Path, launch_for: LaunchFor, tell: Progress, acts: Acts = ACTS) -> DemoReport:
    """Play every act; what was violated in one does not keep the next from being played."""
    began = time.monotonic()
    drills: list[DrillReport] = []
    for name, what, options in acts:
        tell(ActBegun(name, what))
        target = str(examples / name)
        drills.append(await rehearse(target, options, launch_for(target), tell))
    held = all(report.verdict == "held" for report in drills)
    return DemoReport("held" if held else "violated", round(time.monotonic() - began, 1), drills)


def save(report: DemoReport, file: Path) -> None:
    """Write the report as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
