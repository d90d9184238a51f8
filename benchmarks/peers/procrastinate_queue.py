"""A Procrastinate queue: a job a message, whose task writes a row.

`python procrastinate_queue.py DATABASE COUNT` prints how many messages it handled in a second. All are deferred before
the workers begin; they end when there are no more. Several workers share the process, since each fetches one job after
the other, and nothing is to be listened for.
"""

import asyncio
import json
import sys
import time
from itertools import islice

from procrastinate import App, PsycopgConnector

WORKERS = 4
JOBS_AT_ONCE = 10
CONNECTIONS = WORKERS * JOBS_AT_ONCE
BATCH = 1000

database, count = sys.argv[1], int(sys.argv[2])
app = App(connector=PsycopgConnector(conninfo=database, min_size=CONNECTIONS, max_size=CONNECTIONS))


@app.task(queue="mail")
async def handle(id: str) -> None:
    await app.connector.execute_query_async("INSERT INTO done (id) VALUES (%(id)s)", id=id)


async def defer() -> None:
    """All messages, into empty tables."""
    await app.connector.execute_query_async("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await app.schema_manager.apply_schema_async()
    await app.connector.execute_query_async("CREATE TABLE done (id TEXT PRIMARY KEY)")
    jobs = ({"id": str(number)} for number in range(count))
    while batch := list(islice(jobs, BATCH)):
        await handle.batch_defer_async(*batch)
    await app.connector.execute_query_async("ANALYZE")


async def work() -> None:
    """One worker, until there is nothing to do."""
    await app.run_worker_async(wait=False, concurrency=JOBS_AT_ONCE, listen_notify=False, install_signal_handlers=False)


async def rate() -> float:
    """Messages a second."""
    async with app.open_async():
        await defer()
        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(WORKERS)))
        took_s = time.perf_counter() - began
        rows = await app.connector.execute_query_one_async("SELECT count(*) AS number FROM done")
        assert rows["number"] == count
    return count / took_s


print(json.dumps(asyncio.run(rate())))
