"""`proa drill APP`: take a region away under load, and measure what it costs."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from proa.chaos.drill import rehearse
from proa.chaos.options import DrillOptions
from proa.chaos.report import Narrator, show
from proa.cli.launch import launcher
from proa.cli.output import OK, VIOLATED, print_json
from proa.local.plane import declared
from proa.operate.reach import BASE

_DEFAULTS = DrillOptions()


def drill(
    app: str,
    *,
    options: Annotated[DrillOptions, Parameter(name="*")] = _DEFAULTS,
    global_store: str = "",
    json: bool = False,
) -> int:
    """Take a region away under load, and measure what it costs.

    Exits with 3 where an objective that the app declares was violated.

    Args:
        app: a folder with `app.py` and `drill.py`, a file, or `module:attribute`.
        options: how to drill.
        global_store: the PostgreSQL database (postgresql://...) with the global store; the witness has it unless given.
        json: print the report as JSON.
    """
    folder = BASE / f"{declared(app).name}-drill"
    report = asyncio.run(rehearse(app, options, launcher(app, folder, global_store), Narrator()))
    if json:
        print_json(report)
    else:
        show(report)
    return OK if report.verdict == "held" else VIOLATED
