"""A DBOS queue: a workflow a message, whose one step writes a row in the transaction that records the step.

`python dbos_queue.py DATABASE COUNT` prints how many messages it handled in a second. All are enqueued before the queue
is registered, so that the worker has them all before it; it claims them all at once. Of 8 to 64 threads these do best;
coroutines do half as well.
"""

import json
import sys
import threading
import time

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, SQLAlchemyDatasource

POLLING_S = 0.5

database, count = sys.argv[1], int(sys.argv[2])
THREADS, ISOLATION = (4, "SERIALIZABLE") if database.startswith("sqlite") else (16, "READ COMMITTED")
DBOS(
    config={
        "name": "bench",
        "application_version": "1",
        "system_database_url": database,
        "sys_db_pool_size": THREADS,
        "max_executor_threads": THREADS,
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)
handled = threading.Semaphore(0)
source = SQLAlchemyDatasource.create(database, engine_kwargs={"pool_size": THREADS})


@source.transaction(isolation_level=ISOLATION)
def store(id: str) -> None:
    source.sql_session().execute(sa.text("INSERT INTO done (id) VALUES (:id)"), {"id": id})


@DBOS.workflow()
def handle(id: str) -> None:
    store(id)
    handled.release()


def enqueue() -> None:
    """All messages, in one transaction."""
    client = DBOSClient(system_database_url=database)
    with source.engine.begin() as connection:
        for number in range(count):
            options = {"queue_name": "mail", "workflow_name": handle.__qualname__, "app_version": "1"}
            client.enqueue_in_transaction(connection, options, str(number))
    client.destroy()


def rate() -> float:
    """Messages a second, from the first one that is handled to the last; nothing is asked of the database meanwhile."""
    DBOS.register_queue("mail", polling_interval_sec=POLLING_S)
    handled.acquire()
    began = time.perf_counter()
    for _ in range(count - 1):
        handled.acquire()
    took_s = time.perf_counter() - began
    while DBOS.list_workflows(status=["ENQUEUED", "PENDING"], limit=1):
        time.sleep(POLLING_S)
    return (count - 1) / took_s


with source.engine.begin() as connection:
    connection.execute(sa.text("DROP TABLE IF EXISTS done"))
    connection.execute(sa.text("CREATE TABLE done (id TEXT PRIMARY KEY)"))
DBOS.launch()
enqueue()
print(json.dumps(rate()))
with source.engine.begin() as connection:
    assert connection.execute(sa.text("SELECT count(*) FROM done")).scalar() == count
DBOS.delete_queue("mail")
DBOS.destroy()
