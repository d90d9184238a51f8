"""How long it takes to import what a function needs to serve, over the bare start of the interpreter.

Both are measured from byte code, as installers leave packages.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
import time
from importlib.util import find_spec

from figures import Figure, medians, ratio_at_most

PROA = "import proa, proa.runtime.gateway, proa.runtime.invoke, proa.engines.sqlite.region_store"
POWERTOOLS = (
    "from aws_lambda_powertools import Logger, Metrics, Tracer; "
    "from aws_lambda_powertools.event_handler import APIGatewayRestResolver; "
    "from aws_lambda_powertools.utilities.batch import BatchProcessor; "
    "from aws_lambda_powertools.utilities.idempotency import idempotent"
)
ROUNDS = 11


def run() -> list[Figure]:
    """Both imports and the bare start, in turns."""
    compileall.compile_dir(find_spec("proa").submodule_search_locations[0], quiet=1)
    bare, proa, powertools = medians(
        ROUNDS, lambda: start_ms("pass"), lambda: start_ms(PROA), lambda: start_ms(POWERTOOLS)
    )
    return [
        Figure(
            "import of what a function needs",
            proa - bare,
            "ms",
            "Powertools: event handler, idempotency, batch, logger, tracer, metrics",
            powertools - bare,
            ratio_at_most(0.5),
        )
    ]


def start_ms(code: str) -> float:
    """Milliseconds from spawn to exit of an interpreter that runs `code`."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begin) * 1000
