"""The examples' drills: what the loss of a region costs their clients."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from figures import Figure, at_most
from processes import PROA

EXAMPLES = Path(__file__).parents[1] / "examples"
HOWS = ("kill", "pause", "blackout")
LOST = "eu-west-1"
VIOLATED = 3


def run() -> list[Figure]:
    """Six drills."""
    return [
        *(figure for how in HOWS for figure in payments(how)),
        *(figure for how in HOWS for figure in authorizer(how)),
    ]


def payments(how: str) -> list[Figure]:
    """500 charges a second; nothing may fail, be lost or be doubled."""
    report = drill("payments", how, "--rate", "500", "--lease-s", "1")
    bad = report["failed_idempotent"] + len(report["lost_writes"]) + report["duplicates"]
    counted = (
        f"of {report['requests']:,} requests: {report['failed_idempotent']} failed, "
        f"{len(report['lost_writes'])} lost, {report['duplicates']} doubled"
    )
    statistic, limit = ("p99", 100) if how == "kill" else ("max", 1000)
    return [
        Figure(f"payments, {how}: failed + lost + doubled", bad, "charges", bound=at_most(0), note=counted),
        Figure(f"payments, {how}: stall {statistic}", report["stall_ms"][statistic], "ms", bound=at_most(limit)),
    ]


def authorizer(how: str) -> list[Figure]:
    """Automatic fail-over, lease two seconds; it may lose what its declared RPO allows, and doubles nothing."""
    report = drill("authorizer", how, "--rate", "200", "--lease-s", "2", "--failover", "automatic")
    phases = ", ".join(f"{phase['phase']} {phase['took_s']:.2g} s" for phase in report["timeline"])
    against = report["violations"]
    counted = (
        f"{len(report['lost_writes'])} lost of {report['acknowledged']:,} acknowledged, "
        f"{report['duplicates']} doubled, {report['wrong']} of {report['examined_after_fault']:,} answers about "
        "earlier sessions wrong"
    )
    return [
        Figure(f"authorizer, {how}: RTO, lease 2 s", report["rto_s"], "s", bound=at_most(5), note=phases),
        Figure(
            f"authorizer, {how}: objectives violated",
            len(against),
            "",
            bound=at_most(0),
            note="; ".join(against) or counted,
        ),
    ]


def drill(name: str, how: str, *options: str) -> dict[str, Any]:
    """The report of one drill. A violated verdict is a figure here, not an error."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        command = [PROA, "drill", str(EXAMPLES / name), "--lose", LOST, "--how", how]
        fixed = ["--duration-s", "12", "--json"]
        ran = subprocess.run([*command, *options, *fixed], cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, VIOLATED):
        raise RuntimeError(f"the drill of {name} ({how}) ended with {ran.returncode}: {ran.stderr[-2000:]}")
    return json.loads(ran.stdout)
