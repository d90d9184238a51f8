"""The conformance suite of global stores on PostgreSQL, and what is its own: several processes, lost connections."""

import asyncio
import itertools
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import msgspec
import psycopg
import pytest

from engines.conformance import INDEXED, batch, by, put
from engines.conformance_stores import GlobalConformance, StoreConformance
from proa.engines.postgres.connections import SQL, Away, Line, address_of, execute, fetched
from proa.engines.postgres.global_store import PostgresGlobalStore
from proa.engines.schemas import NONE
from proa.errors import (
    GlobalStoreUnreachable,
    OutcomeUnknown,
    ProaError,
    SchemaIncompatible,
    StoreNewer,
    StoreUnsafe,
)
from proa.ports import Committed, Fenced
from support.ends import ManualClock, SeededEntropy
from support.postgres import MISSING, installed, server

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


async def ready(store):
    """Once it is prepared, however long a busy machine takes for that."""
    for _ in range(50):
        try:
            return await store.prepared()
        except Away:
            continue
    return await store.prepared()


class PostgresBackend:
    """The global store in a schema of its own."""

    def __init__(self, server):
        self.schema = f"test_{next(NAMES)}"
        self.server = server
        self.admin = psycopg.connect(server.url, autocommit=True)
        self.admin.execute(CLOCK.format(self.schema))
        self.clock = SharedClock(self.admin, self.schema)

    def url(self, port=None):
        return f"{self.server.url_at(port)}?options=-csearch_path%3D{self.schema},pg_catalog"

    @asynccontextmanager
    async def open(self, kind="global", schemas=NONE, port=None, timeout_s=10.0):
        """One more process, as far as the store can tell."""
        assert kind == "global"
        address = address_of(self.url(port))
        store = PostgresGlobalStore(address, self.clock, SeededEntropy(), schemas, timeout_s=timeout_s)
        try:
            await ready(store)
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


# Several processes.


def test_many_processes_start_at_once_on_an_empty_database(backend):
    async def scenario():
        async with AsyncExitStack() as stack:
            opened = (stack.enter_async_context(backend.open(schemas=INDEXED)) for _ in range(6))
            stores = await asyncio.gather(*opened)
            results = await asyncio.gather(*(store.commit(batch(f"u{i}", put("a"))) for i, store in enumerate(stores)))
            assert sorted(result.seq for result in results) == [1, 2, 3, 4, 5, 6]

    asyncio.run(scenario())


def test_processes_that_count_on_one_row_at_once_lose_no_step_and_watchers_meet_no_revision_late(backend):
    steps, counters = 15, 4

    async def count(store, name, made):
        while len(made) < steps:
            (row,) = await store.read([("~n", "n")])
            value, version = (int(row.value), row.version) if row else (0, 0)
            step = batch(f"{name}-{value}", put("n", b"%d" % (value + 1), table="~n"), reads={("~n", "n"): version})
            step.writes.append(put(f"{name}-{value}", table="~marks"))
            if isinstance(result := await store.commit(step), Committed):
                made.append(result.seq)

    async def watch(store, seen):
        after = 0
        while len(seen) < steps * counters:
            changes = await store.watch("~marks", after, 5)
            assert all(row.version > after for row in changes.rows), "what is told late would never be told"
            seen += [row.version for row in changes.rows]
            after = changes.revision

    async def scenario():
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(backend.open()) for _ in range(counters + 1)]
            made, seen = [[] for _ in range(counters)], []
            counting = (count(store, f"p{i}", made[i]) for i, store in enumerate(stores[1:]))
            await asyncio.gather(watch(stores[0], seen), *counting)
            (row,) = await stores[0].read([("~n", "n")])
            revisions = sorted(revision for each in made for revision in each)
            assert (int(row.value), revisions) == (steps * counters, seen)

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["notified", "by looking"])
def test_a_watcher_hears_of_another_processs_commit(backend, how, monkeypatch):
    if how == "by looking":
        monkeypatch.setitem(SQL, "listen", "LISTEN? what is that")
        monkeypatch.setitem(SQL, "notify", "NOTIFY? what is that")

    async def scenario():
        async with backend.open() as here, backend.open() as there:
            waiting = asyncio.create_task(here.watch("~", 0, 20, ["~roles"]))
            await asyncio.sleep(0.5)
            await there.commit(batch("u1", put("eu", table="~nodes"), routine=True))
            await there.commit(batch("u2", put("us", table="~nodes")))
            assert not waiting.done()
            await there.commit(batch("u3", put("present", table="~roles")))
            changes = await asyncio.wait_for(waiting, 5)
            assert [row.key for row in changes.rows] == ["eu", "us", "present"]

    asyncio.run(scenario())


def test_what_another_process_committed_is_kept_since_it_was_seen_and_no_longer(backend):
    async def scenario():
        async with backend.open() as here, backend.open() as there:
            await there.commit(batch("u1", put("eu", table="~nodes"), routine=True))
            backend.clock.time += 1
            assert (await here.watch("~", 0, 0)).kept_s == [0.0]
            backend.clock.time += 2
            assert (await here.watch("~", 0, 0)).kept_s == [2.0]
            assert (await there.watch("~", 0, 0)).kept_s == [3.0]
            await there.commit(batch("u2", put("eu", table="~nodes"), routine=True))
            assert (await here.watch("~", 0, 0)).kept_s == [0.0]

    asyncio.run(scenario())


def test_a_process_with_an_older_declaration_of_an_index_writes_its_other_tables_alone(backend):
    newer = {"t": msgspec.structs.replace(INDEXED["t"], shape="2")}

    async def scenario():
        async with backend.open(schemas=INDEXED) as old, backend.open(schemas=newer) as new:
            refused = await old.commit(batch("u1", put("a", b"x")))
            assert isinstance(refused, Fenced)
            assert refused.code == SchemaIncompatible.code
            assert isinstance(await old.commit(batch("u2", put("a", b"x", table="other"))), Committed)
            await new.commit(batch("u3", put("a", b"x")))
            assert [row.key for row in await old.query(by("x", "y"))] == ["a"]

    asyncio.run(scenario())


def test_a_process_that_declares_nothing_leaves_indexes_as_they_are(backend):
    async def scenario():
        async with backend.open(schemas=INDEXED) as store:
            await store.commit(batch("u1", put("a", b"x")))
            async with backend.open(schemas=None) as operator:
                assert isinstance(await operator.commit(batch("u2", put("b", b"x"))), Fenced)
                await operator.commit(batch("u3", put("eu", table="~nodes")))
            assert [row.key for row in await store.query(by("x", "y"))] == ["a"]

    asyncio.run(scenario())


# Lost connections.


class Relay:
    """Stands between a store and the server; once the client says COMMIT, it does `what` instead of passing on."""

    def __init__(self, port):
        self._to = port
        self._writers = []
        self.what = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        back, on = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, on]
        answers = asyncio.create_task(self._pass(back, writer))
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.what == "swallow everything" or (b"COMMIT" in data and self.what):
                    await self._do(data, on, answers)
                    break
                on.write(data)
                await on.drain()
        if self.what != "swallow everything":
            on.close()
            writer.close()

    async def _do(self, data, on, answers):
        if self.what == "swallow everything":
            await asyncio.sleep(3600)
        answers.cancel()
        what, self.what = self.what, None
        if what == "lose the answer":
            on.write(data)
            await on.drain()
            await asyncio.sleep(0.1)

    async def _pass(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)


@pytest.mark.parametrize("what", ["lose the answer", "lose the commit"])
def test_a_connection_lost_with_a_commit_on_its_way_leaves_it_done_once(backend, what):
    async def scenario():
        async with Relay(backend.server.port) as relay, backend.open(port=relay.port) as store:
            await store.commit(batch("u0", put("a", b"0")))
            relay.what = what
            asked = [batch(f"u{i}", put(f"b{i}"), reads={("t", f"b{i}"): 0}) for i in (1, 2)]
            results = await asyncio.gather(*map(store.commit, asked))
            assert [result.seq for result in results] == [2, 3]
            assert relay.what is None
            assert (await store.view([])).revision == 3

    asyncio.run(scenario())


def test_a_network_that_swallows_everything_costs_a_call_its_time_and_no_more(backend):
    async def scenario():
        async with Relay(backend.server.port) as relay, backend.open(port=relay.port, timeout_s=1) as store:
            await store.commit(batch("u0", put("a", b"0")))
            relay.what = "swallow everything"
            began = time.monotonic()
            with pytest.raises(GlobalStoreUnreachable):
                await store.read([("t", "a")])
            assert time.monotonic() - began < 3
            with pytest.raises(GlobalStoreUnreachable):
                await store.commit(batch("u1", put("a", b"1")))
            with pytest.raises(GlobalStoreUnreachable):
                await store.watch("~", 0, 0.1)
            assert time.monotonic() - began < 10

    asyncio.run(scenario())


def test_a_commit_of_which_nothing_was_heard_is_unknown(backend, monkeypatch):
    class Deaf(Relay):
        async def _do(self, data, on, answers):
            self.what = "swallow everything"
            await super()._do(data, on, answers)

    async def scenario():
        async with Deaf(backend.server.port) as relay, backend.open(port=relay.port, timeout_s=1) as store:
            await store.commit(batch("u0", put("a", b"0")))
            relay.what = "at the commit"
            with pytest.raises(OutcomeUnknown):
                await store.commit(batch("u1", put("a", b"1")))

    asyncio.run(scenario())


def test_connections_that_the_server_ended_are_replaced_unseen(backend):
    async def scenario():
        async with backend.open() as store:
            for number in range(3):
                assert isinstance(await store.commit(batch(f"u{number}", put("a"))), Committed)
                assert (await store.read([("t", "a")]))[0].version == number + 1
                backend.admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                )

    asyncio.run(scenario())


def test_whoever_stands_still_with_the_lock_holds_up_others_for_a_moment(backend):
    async def scenario():
        async with backend.open(timeout_s=0.5) as still, backend.open(timeout_s=0.5) as other:
            stopped = asyncio.Event()

            async def stop(connection):
                await execute(connection, "begin")
                await execute(connection, "lock")
                await stopped.wait()

            await still.commit(batch("u1", put("a")))
            standing = asyncio.create_task(still._writer.run(stop))
            await asyncio.sleep(0.2)
            assert isinstance(await other.commit(batch("u2", put("a"))), Committed)
            stopped.set()
            await asyncio.gather(standing, return_exceptions=True)
            assert isinstance(await still.commit(batch("u3", put("a"))), Committed)

    asyncio.run(scenario())


def test_a_database_that_lost_commits_is_refused(backend):
    async def scenario():
        async with backend.open() as store:
            for number in range(3):
                await store.commit(batch(f"u{number}", put("a")))
            backend.admin.execute(f"UPDATE {backend.schema}.proa_counters SET version = 1")
            with pytest.raises(GlobalStoreUnreachable, match="went back from revision 3 to 1"):
                await store.commit(batch("u4", put("a")))

    asyncio.run(scenario())


# What it refuses, and what it says.


def test_a_store_of_a_newer_version_is_refused(backend):
    async def scenario():
        async with backend.open():
            backend.admin.execute(f"UPDATE {backend.schema}.proa_counters SET format = 9")
        with pytest.raises(StoreNewer, match="format 9; this version of Proa reads up to 1"):
            async with backend.open():
                pass

    asyncio.run(scenario())


def test_a_server_that_does_not_sync_is_refused_and_lax_commits_are_made_strict():
    if installed() is None:
        pytest.skip(MISSING)

    async def reached(url):
        line = Line(address_of(url))
        try:
            return await line.run(lambda connection: fetched(connection, "settings"))
        finally:
            await line.close()

    with server(synchronous_commit="off") as lax:
        assert dict(asyncio.run(reached(lax.url)))["synchronous_commit"] == "on"
    with server(fsync="off") as unsafe, pytest.raises(StoreUnsafe, match="fsync=off"):
        asyncio.run(reached(unsafe.url))


def test_a_key_that_the_database_has_no_room_for_fails_alone(backend):
    async def scenario():
        async with backend.open() as store:
            keys = ["a", "zero\0", Random(1).randbytes(4_000).hex(), "b"]
            asked = (store.commit(batch(f"u{i}", put(key))) for i, key in enumerate(keys))
            first, zero, long, last = await asyncio.gather(*asked, return_exceptions=True)
            assert (type(first), type(zero), type(last)) == (Committed, ValueError, Committed)
            assert isinstance(long, GlobalStoreUnreachable)

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["postgresql://proa:se%20cret@127.0.0.1:1/none", "postgresql://proa:se cret@[/x"])
def test_no_error_tells_the_password(url):
    async def asked():
        line = Line(address_of(url))
        await line.run(lambda connection: fetched(connection, "revision"))

    with pytest.raises(ProaError) as told:
        asyncio.run(asked())
    chain = [str(told.value), str(told.value.__cause__), *map(str, told.value.args)]
    assert not any(secret in said for said in chain for secret in ("se cret", "se%20cret", "cret"))
