"""A PostgreSQL server of the benchmarks' own, as durable as it comes: the usual store of peers.

It is the one of the tests with the settings of a server that is measured: no checkpoint falls into that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.postgres import installed, server

SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
}


@contextmanager
def postgres() -> Iterator[str]:
    """A server that runs; yields how it is reached, and nothing ("") where none is installed."""
    if installed() is None:
        yield ""
        return
    with server(**SETTINGS) as own:
        yield own.url
