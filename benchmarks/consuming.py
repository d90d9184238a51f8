"""Consuming messages, a row written for each: beside DBOS queues and Procrastinate, each on its usual store.

All three have every message before they begin, and write a row for each one durably. Proa: one region, whose handler's
row and the message's end are one commit. DBOS: a workflow a message, claimed all at once, on 16 threads; its one step's
transaction writes the row. Procrastinate: a job a message, four workers of ten jobs each in one process; the task
writes the row. Both on PostgreSQL with every commit synced, and none is limited to a core. They run in turns; the
median counts. A peer has fewer messages than Proa, since it needs longer for them.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from figures import Figure, at_least, medians, ratio_at_least
from postgres import postgres
from processes import told_by
from queues import Running, in_region

ROUNDS = 3
MESSAGES = 20_000
OF_DBOS, OF_DBOS_ON_SQLITE, OF_PROCRASTINATE = 1_000, 300, 2_000
PEERS = Path(__file__).parent / "peers"
NAME = "messages consumed, a row for each"
DBOS, PROCRASTINATE = "a workflow a message, 16 threads", "4 workers of 10 jobs each"


def run() -> list[Figure]:
    """All that can be run here, in turns."""
    with postgres() as server:
        return beside_postgres(server) if server else beside_sqlite()


def beside_postgres(server: str) -> list[Figure]:
    proa, dbos, procrastinate = medians(
        ROUNDS,
        lambda: told_by(__file__),
        lambda: told_by(PEERS / "dbos_queue.py", server, OF_DBOS),
        lambda: told_by(PEERS / "procrastinate_queue.py", server, OF_PROCRASTINATE),
    )
    return [
        Figure(
            NAME, proa, "/s", bound=at_least(5000), note="exactly once: the row and the message's end in one commit"
        ),
        Figure(NAME, proa, "/s", "DBOS on PostgreSQL", dbos, ratio_at_least(5), DBOS),
        Figure(NAME, proa, "/s", "Procrastinate on PostgreSQL", procrastinate, ratio_at_least(2), PROCRASTINATE),
    ]


def beside_sqlite() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="proa-bench-dbos-") as folder:
        proa, dbos = medians(
            ROUNDS,
            lambda: told_by(__file__),
            lambda: told_by(PEERS / "dbos_queue.py", f"sqlite:///{folder}/dbos.sqlite", OF_DBOS_ON_SQLITE),
        )
    missing = "no PostgreSQL is installed here: Procrastinate is left out, DBOS is on SQLite with 4 threads"
    return [
        Figure(NAME, proa, "/s", bound=at_least(5000), note=missing),
        Figure(NAME, proa, "/s", "DBOS on SQLite", dbos, ratio_at_least(5)),
    ]


async def consumed(running: Running) -> float:
    """Messages a second, from the moment at which the queue hands them out until the last one is dealt with."""
    await running.pause("filling")
    await running.fill(MESSAGES)
    began = time.perf_counter()
    await running.pause("")
    await running.until(lambda: len(running.handled) == MESSAGES)
    return MESSAGES / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(in_region(consumed))))
