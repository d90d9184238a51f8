"""The conformance suite of global stores on PostgreSQL, and what is its own: several processes, lost connections."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import psycopg
import pytest

from engines.conformance_stores import GlobalConformance, StoreConformance
from proa.engines.postgres.connections import address_of
from proa.engines.postgres.global_store import PostgresGlobalStore
from proa.engines.schemas import NONE
from support.ends import ManualClock, SeededEntropy

NAMES = itertools.count()
CLOCK = """
CREATE SCHEMA {0};
CREATE TABLE {0}.clock (at DOUBLE PRECISION);
INSERT INTO {0}.clock VALUES (0);
CREATE FUNCTION {0}.clock_timestamp() RETURNS timestamptz AS 'SELECT to_timestamp(at) FROM {0}.clock' LANGUAGE sql;
"""
"""The store's tables are made in a schema of the test's own, where the database's clock is the test's."""


class SharedClock(ManualClock):
    """This process's clock and the database's, moved together."""

    def __init__(self, admin, schema):
        self._admin, self._schema = admin, schema
        super().__init__()

    @property
    def time(self):
        return self._time

    @time.setter
    def time(self, now):
        self._time = now
        self._admin.execute(f"UPDATE {self._schema}.clock SET at = {now}")

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)


class PostgresBackend:
    """The global store in a schema of its own."""

    def __init__(self, server):
        self.schema = f"test_{next(NAMES)}"
        self.url = f"{server.url}?options=-csearch_path%3D{self.schema},pg_catalog"
        self.admin = psycopg.connect(server.url, autocommit=True)
        self.admin.execute(CLOCK.format(self.schema))
        self.clock = SharedClock(self.admin, self.schema)

    @asynccontextmanager
    async def open(self, kind="global", schemas=NONE):
        assert kind == "global"
        store = PostgresGlobalStore(address_of(self.url), self.clock, SeededEntropy(), schemas, timeout_s=10)
        try:
            await store.prepared()
            yield store
        finally:
            await store.close()

    def close(self):
        self.admin.execute(f"DROP SCHEMA {self.schema} CASCADE")
        self.admin.close()


@pytest.fixture
def backend(postgres_server):
    backend = PostgresBackend(postgres_server)
    yield backend
    backend.close()


class TestPostgres(StoreConformance, GlobalConformance):
    """`proa.engines.postgres` keeps the contract of global stores."""

    @pytest.fixture
    def kind(self):
        return "global"
