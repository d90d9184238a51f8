"""`proa demo`: both examples lose a region under load; what it cost is told, and kept as JSON."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proa.chaos.demo import demo as play
from proa.chaos.demo import save
from proa.chaos.report import Narrator, show
from proa.cli.launch import launcher
from proa.cli.output import OK, VIOLATED, note, print_json
from proa.errors import AppNotFound
from proa.operate.reach import BASE

EXAMPLES = Path(__file__).parents[3] / "examples"
"""Beside the sources of a checkout, where the demo finds them from any folder."""
REPORT = BASE / "demo.json"


def demo(*, examples: Path | None = None, report: Path = REPORT, global_store: str = "", json: bool = False) -> int:
    """Lose a region in both examples, fail over and back, and print what it cost.

    Args:
        examples: the folder with the examples `authorizer` and `payments`; those of the checkout unless given.
        report: the file that the result is written to, as JSON.
        global_store: the PostgreSQL database (postgresql://...) with the global store; the witness has it unless given.
        json: print the result as JSON, too.
    """
    folder = examples or EXAMPLES
    if not folder.is_dir():
        raise AppNotFound(f"{folder}: no such folder; run the demo in a checkout, or give --examples")
    told = asyncio.run(
        play(folder, lambda app: launcher(app, BASE / f"{Path(app).name}-demo", global_store), Narrator())
    )
    save(told, report)
    if json:
        print_json(told)
    else:
        for drill in told.drills:
            show(drill)
    note(f"the account is in {report}")
    return OK if told.verdict == "held" else VIOLATED
