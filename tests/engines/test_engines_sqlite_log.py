"""The write-ahead log under steady load: it is copied beside the commits, stays small, and a crash loses nothing."""

import asyncio
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engines.conformance import batch, put
from proa.engines.sqlite import log
from proa.engines.sqlite.files import translated
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.errors import StoreFull
from proa.ports import Committed, Identity
from support.ends import ManualClock

LOG_PROGRAM = Path(__file__).parent / "log_program.py"
CHANGES = 300


class Threads:
    """Two threads for what blocks. What the log has done is listed; a copy waits while `gate` is closed."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(2)
        self.done = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault = None

    async def run_blocking(self, work):
        name = work.__name__
        if name == "_copy":
            await self.gate.wait()
        if name != "_sync":
            self.done.append(name)
            if self.fault:
                raise self.fault
        await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self):
        self._pool.shutdown()


@pytest.fixture
def often(monkeypatch):
    """The log is copied after few changes."""
    monkeypatch.setattr(log, "CHANGES", CHANGES)


@asynccontextmanager
async def opened(folder):
    threads = Threads()
    store = SqliteRegionStore(folder / "region.db", "eu", ManualClock(), threads.run_blocking)
    await store.assume(Identity(1, "nonce"))
    try:
        yield store, threads
    finally:
        await store.close()
        threads.close()


async def load(store, units, clients=20):
    """So many units, by clients that never pause."""
    numbers = iter(range(units))

    async def client():
        for number in numbers:
            assert isinstance(await store.commit(batch(f"u{number}", put(f"{number * 7919 % 5003:04d}"))), Committed)

    await asyncio.gather(*(client() for _ in range(clients)))


def log_pages(folder):
    return (folder / "region.db-wal").stat().st_size // 4096


@pytest.mark.usefixtures("often")
def test_under_load_without_a_pause_the_log_is_emptied_again_and_again(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (store, threads):
            await load(store, 6_000)
            await store.flush()
            assert threads.done.count("_finish") >= 5
            # Some hundred changes until a copy begins, and what comes while it runs. Never emptied, it had thousands.
            assert log_pages(tmp_path) < 2_500

    asyncio.run(scenario())


def test_a_log_that_nobody_copies_grows_beyond_that(tmp_path, monkeypatch):
    """What the test above rests on."""
    monkeypatch.setattr(log, "CHANGES", 10**9)

    async def scenario():
        async with opened(tmp_path) as (store, threads):
            await load(store, 6_000)
            assert threads.done == []
            assert log_pages(tmp_path) > 5_000

    asyncio.run(scenario())


@pytest.mark.usefixtures("often")
def test_units_commit_while_the_log_is_copied(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (store, threads):
            threads.gate.clear()
            await load(store, 1_000)
            assert (store.head, threads.done) == (1_000, [])
            threads.gate.set()
            await store.flush()
            assert threads.done == ["_copy", "_finish"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("often")
def test_closing_waits_for_a_copy(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (store, threads):
            threads.gate.clear()
            await load(store, 400)
            closing = asyncio.ensure_future(store.close())
            await asyncio.sleep(0)
            assert not closing.done()
            threads.gate.set()
            await closing
            assert threads.done == ["_copy", "_finish"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("often")
def test_a_copy_that_finds_no_room_is_tried_again_and_one_that_fails_to_sync_ends_the_process(tmp_path):
    def fault(code):
        error = sqlite3.OperationalError("as injected")
        error.sqlite_errorcode = code
        return error

    async def scenario():
        async with opened(tmp_path) as (store, threads):
            ended = []
            store._group.on_failure = ended.append
            threads.fault = fault(sqlite3.SQLITE_FULL)
            assert isinstance(translated(threads.fault), StoreFull)
            await load(store, 1_000)
            await store.flush()
            assert threads.done.count("_copy") > 1
            assert ended == []
            threads.fault = fault(sqlite3.SQLITE_IOERR_FSYNC)
            await load(store, 1_000)
            await store.flush()
            assert threads.fault in ended
            threads.fault = None

    asyncio.run(scenario())


@pytest.mark.processes
def test_a_process_killed_while_it_copies_its_log_has_kept_every_answered_unit(tmp_path):
    answered = [0]
    for life in range(5):
        begin = max(answered) + 100
        with subprocess.Popen(
            [sys.executable, LOG_PROGRAM, tmp_path, str(begin)], stdout=subprocess.PIPE, text=True
        ) as process:
            while answered[-1] < begin + 400 + 97 * life:
                answered.append(int(process.stdout.readline()))
            process.kill()
            answered += [int(line) for line in process.stdout if line.endswith("\n")]
        found = sqlite3.connect(tmp_path / "region.db")
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {key: int(value) for key, value in found.execute("SELECT key, value FROM rows")}
        found.close()
        # Of the units under a key the last one stands.
        assert [n for n in answered[1:] if kept.get(f"{n * 7919 % 10_007:05d}", -1) < n] == []
