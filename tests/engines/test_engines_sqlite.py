"""The conformance suite on SQLite, and what is SQLite's own: one fsync for many, full disks, damaged files."""

import asyncio
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engines.conformance import HERE, INDEXED, Conformance, batch, by, foreign, outcome, partial, put, span
from engines.conformance_base import ALL, BaseConformance
from engines.conformance_repair import RepairConformance
from engines.conformance_stores import GlobalConformance, StoreConformance
from proa.core.replicate.repair import Stretch
from proa.core.residency import Gap
from proa.core.roles import Cut
from proa.engines.schemas import NONE
from proa.engines.sqlite import global_store, records, repairs, spans
from proa.engines.sqlite.files import SCHEMA_VERSION, connect, in_memory
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.engines.sqlite.rows import Sweep
from proa.errors import StoreCorrupt, StoreFull, StoreNewer
from proa.ports import Committed, Conflict, Identity, Terms
from support.ends import ManualClock


class SqliteBackend:
    """Stores on files in one folder."""

    def __init__(self, folder, region="eu", clock=None):
        self.folder = folder
        self.region = region
        self.clock = clock or ManualClock()
        self.syncs = 0

    async def run_blocking(self, work):
        self.syncs += 1
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, work)

    def other(self, region="us"):
        """The stores of another region, on the same clock."""
        return SqliteBackend(self.folder / region, region, self.clock)

    def where(self, kind):
        return self.folder / f"{kind}.db"

    @asynccontextmanager
    async def open(self, kind, permit=None, schemas=NONE):
        path = self.where(kind)
        if kind == "global":
            store = SqliteGlobalStore(path, self.clock, self.run_blocking, schemas)
        else:
            store = SqliteRegionStore(path, self.region, self.clock, self.run_blocking, permit=permit, schemas=schemas)
            if store.identity is None:
                await store.assume(Identity(1, "nonce"))
        try:
            yield store
        finally:
            await store.close()


class MemoryBackend(SqliteBackend):
    """Stores in memory, kept between openings by a connection of the backend's own."""

    def __init__(self, name, region="eu", clock=None):
        super().__init__(Path(), region, clock)
        self.name = name
        self.kept = {}

    def other(self, region="us"):
        other = MemoryBackend(f"{self.name}-{region}", region, self.clock)
        other.kept = self.kept
        return other

    def where(self, kind):
        target = in_memory(f"{self.name}-{kind}")
        if target not in self.kept:
            self.kept[target] = connect(target)
        return target

    def close(self):
        for connection in self.kept.values():
            connection.close()


@pytest.fixture
def backend(tmp_path):
    return SqliteBackend(tmp_path)


class TestSqliteFiles(StoreConformance, GlobalConformance, Conformance, BaseConformance, RepairConformance):
    """`proa.engines.sqlite` keeps the contract on files."""


class TestSqliteInMemory(StoreConformance, GlobalConformance, Conformance, BaseConformance, RepairConformance):
    """`proa.engines.sqlite` keeps the contract in memory."""

    @pytest.fixture
    def backend(self, tmp_path):
        backend = MemoryBackend(tmp_path.name)
        yield backend
        backend.close()


def test_units_that_arrive_together_share_a_commit(backend):
    async def scenario():
        async with backend.open("region") as store:
            backend.syncs = 0
            await asyncio.gather(*(store.commit(batch(f"u{i}", put(str(i)))) for i in range(100)))
            assert backend.syncs == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["global", "region"])
def test_a_batch_that_wrote_nothing_waits_for_no_disk(backend, kind):
    async def scenario():
        async with backend.open(kind) as store:
            first = await store.commit(batch("u1", put("a"), reads={("t", "a"): 0}, key="k"))
            assert isinstance(first, Committed)
            before = backend.syncs
            lost = await store.commit(batch("u2", put("a"), reads={("t", "a"): 0}))
            found = await store.commit(batch("u3", put("b"), key="k"))
            assert (lost, found.outcome.unit, backend.syncs) == (Conflict(("t", "a")), "u1", before)
            assert isinstance(await store.commit(batch("u4", put("b"))), Committed)
            assert backend.syncs == before + 1

    asyncio.run(scenario())


def test_a_watch_tells_the_same_out_of_memory_and_out_of_the_file(backend, monkeypatch):
    async def told(kept):
        monkeypatch.setattr(global_store, "RECENT_MAX", kept)
        async with backend.other(f"kept {kept}").open("global") as store:
            for number in range(8):
                rows = [put(f"{number % 3}", b"%d" % number, table="~nodes"), put("a", b"%d" % number, table="~audit")]
                await store.commit(batch(f"u{number}", *rows[: 1 + number % 2]))
            return [(await store.watch("~", after, 0)).rows for after in range(10)]

    async def scenario():
        assert await told(256) == await told(2) == await told(0)

    asyncio.run(scenario())


def test_the_journal_serves_nothing_that_the_cursors_do_not_tell_of(backend):
    """Between a COMMIT and the moment it is made known, a reader can see more than the cursors say."""
    served = []

    async def scenario():
        async with backend.open("region") as store:
            commit = backend.run_blocking

            async def asked_in_between(work):
                await commit(work)
                served.append((store.cursors()["eu/1"], len(await store.journal({"eu/1": 0}, 10))))

            store._group._run_blocking = asked_in_between
            await store.commit(batch("u1", put("a")))
            await store.commit(batch("u2", put("b")))
            assert served == [(0, 0), (1, 1)]

    asyncio.run(scenario())


def test_a_unit_that_fails_is_left_out_and_its_batch_mates_commit(backend):
    async def scenario():
        async with backend.open("region") as store:
            bad = batch("bad", put("bad"))
            bad.writes[0] = None
            batches = [batch("a", put("a")), bad, batch("b", put("b"))]
            results = await asyncio.gather(*map(store.commit, batches), return_exceptions=True)
            assert isinstance(results[1], AttributeError)
            assert [(r.seq) for r in (results[0], results[2])] == [1, 2]
            assert len(await store.journal({"eu/1": 0}, 10)) == 2

    asyncio.run(scenario())


def test_versions_go_on_rising_after_a_restart_under_a_clock_that_was_set_back(backend):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a")))
            await store.apply([foreign(1)], Terms())
            (before,) = await store.read([("t", "a")])
        backend.clock.time -= 3600
        async with backend.open("region") as store:
            await store.apply([foreign(2)], Terms())
            (applied,) = await store.read([("t", "a")])
            await store.commit(batch("u2", put("a")))
            (committed,) = await store.read([("t", "a")])
            assert before.version < applied.version < committed.version

    asyncio.run(scenario())


def test_expired_outcomes_are_swept_while_units_commit_and_others_stay(backend):
    async def scenario():
        async with backend.open("region") as store:
            units = [batch(f"u{i}", put("a"), key=f"old{i}") for i in range(Sweep.EVERY - 10)]
            await asyncio.gather(*map(store.commit, units))
            backend.clock.time = 2_000_000.0  # all of them expire
            fresh = [batch(f"v{i}", put("a")) for i in range(20)]
            fresh[0].outcome = outcome("fresh", expires_at=3_000_000.0)
            await asyncio.gather(*map(store.commit, fresh))
            assert store._reader.execute("SELECT key FROM outcomes").fetchall() == [("fresh",)]

    asyncio.run(scenario())


def test_an_expired_row_that_is_written_again_before_it_is_dropped_stays(backend):
    async def scenario():
        now = backend.clock.time
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a", expires_at=now - 1)))
            submit = store._group.submit
            commits = []

            def after_another(work):
                store._group.submit = submit
                commits.append(store.commit(batch("u2", put("a", b"anew"))))
                return submit(work)

            store._group.submit = after_another
            assert (await store.forget([], 10, now), await commits[0]) == (0, Committed(2, now, "eu/1"))
            assert [row.value for row in await store.read([("t", "a")])] == [b"anew"]

    asyncio.run(scenario())


def walked(connection):
    """How many rows each statement of a connection walks at most, as the steps of SQLite's machine tell."""
    steps_a_row, counted = 5, [0]
    connection.set_trace_callback(lambda _: counted.append(0))

    def step():
        counted[-1] += 1

    connection.set_progress_handler(step, steps_a_row)
    return counted


def test_no_statement_that_compares_rows_walks_all_that_are_deleted(backend):
    async def scenario():
        async with backend.open("region") as store:
            names = [f"{number:05}" for number in range(20_000)]
            await store.commit(batch("u1", *(put(name, None) for name in names), put("x"), put("y"), put("z")))
            counted = walked(store._reader)
            rows = await store.repairs._rows(Stretch("t", "", None, 0.0, 2))
            assert [row[0] for row in rows] == ["x", "y"]
            assert await store.repairs._rows(Stretch("t", "", "x", 0.0, 1000)) == []
            assert max(counted) < 10 * repairs.SLICE

    asyncio.run(scenario())


@pytest.mark.parametrize("reverse", [False, True])
def test_no_statement_of_a_walk_passes_more_rows_than_it_was_told(backend, reverse):
    async def scenario():
        async with backend.open("region") as store:
            gone = [put(f"{number:05}", None) for number in range(20_000)]
            await store.commit(batch("u1", *gone, put("00003.", b"x"), put("19000.", b"y")))
            counted = walked(store._reader)
            found, rest = [], span("", "z", 500, reverse=reverse)
            while rest:
                rows, rest = await store.walk(rest)
                found += [row.key for row in rows]
            assert found == (["19000.", "00003."] if reverse else ["00003.", "19000."])
            assert max(counted) < 10 * 500

    asyncio.run(scenario())


def gone(count, step=1):
    """Rows that are deleted, in the order of their keys."""
    return [put(f"{number:05}", None) for number in range(0, count, step)]


async def beside(monkeypatch, read, store, *writes):
    """What is read in small slices while others commit after the first one; and how many slices there were."""
    slices, committed = [], asyncio.Event()

    async def breathe():
        slices.append(None)
        await committed.wait()

    monkeypatch.setattr(spans, "SLICE", 500)
    monkeypatch.setattr(spans, "breathe", breathe)
    reading = asyncio.create_task(read)
    await store.commit(batch("beside", *writes))
    assert not reading.done()
    committed.set()
    return await reading, len(slices)


ENDS = [put("00003.", b"x"), put("19000.", b"y")]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_query_over_many_deleted_rows_is_of_one_moment_and_lets_others_have_their_turn(backend, monkeypatch, reverse):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", *gone(20_000), *ENDS))
            late = [put("00003.", None), put("19000.", b"late"), put("19001.", b"new")]
            found, told = await beside(monkeypatch, store.query(span("0", "z", reverse=reverse)), store, *late)
            assert ([row.value for row in found], told >= 38) == ([b"y", b"x"] if reverse else [b"x", b"y"], True)
            found = await store.query(span("0", "z", limit=1, reverse=reverse))
            assert [row.value for row in found] == [b"new" if reverse else b"late"]

    asyncio.run(scenario())


def test_rows_that_expired_and_are_in_an_index_are_passed_over_in_slices_too(backend, monkeypatch):
    async def scenario():
        async with backend.open("region", schemas=INDEXED) as store:
            ended = [put(f"{number:05}", b"x", expires_at=5.0) for number in range(20_000)]
            await store.commit(batch("u1", *ended, put("a", b"x"), put("b", b"x", expires_at=50.0)))
            found, told = await beside(monkeypatch, store.query(by("x", "y")), store, put("c", b"x"))
            assert ([row.key for row in found], told >= 38) == (["a", "b"], True)
            assert [row.key for row in await store.query(by("x", "y", reverse=True, limit=2))] == ["c", "b"]
            assert (await beside(monkeypatch, store.count(by("x", "y")), store, put("d", b"x")))[0] == 3
            assert await store.count(by("x", "y")) == 4

    asyncio.run(scenario())


def test_a_count_of_many_rows_is_of_one_moment_and_lets_others_have_their_turn(backend, monkeypatch):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", *(put(f"{number:05}") for number in range(20_000)), *gone(20_000, step=2)))
            found, told = await beside(monkeypatch, store.count(span("0", "z")), store, put("x"))
            assert (found, told >= 38) == (10_000, True)
            assert await store.count(span("0", "z")) == 10_001

    asyncio.run(scenario())


async def with_its_newest_entry_damaged(backend, *commits):
    """A store that made these commits, and whose clock was put back; opened again, with its last stamp from before."""
    async with backend.open("region") as store:
        for commit in commits:
            await store.commit(commit)
        last = store.latest_stamp()
        store._writer.execute("UPDATE journal SET entry = X'C1' WHERE seq = ?", (len(commits),))
        store._writer.commit()
    backend.clock.time -= 60
    return last


def test_stamps_never_go_back_where_the_newest_entry_is_damaged_and_its_rows_tell_its_own(backend):
    async def scenario():
        last = await with_its_newest_entry_damaged(backend, batch("u1", put("a")), batch("u2", put("b")))
        async with backend.open("region") as store:
            assert (store.latest_stamp(), store.damaged) == (last, "eu/1:2 in the journal cannot be read")
            await store.commit(batch("u3", put("a", b"new")))
            assert [row.stamp for row in await store.read([("t", "a")])] == [last + 1]

    asyncio.run(scenario())


def test_a_store_whose_newest_entry_is_damaged_does_not_open_where_nothing_tells_its_stamp(backend):
    async def scenario():
        made = [batch("u1", put("a")), batch("u2", key="k")]
        await with_its_newest_entry_damaged(backend, *made)
        with pytest.raises(StoreCorrupt, match="eu/1:2, the newest made here, does not decode, and no row tells"):
            async with backend.open("region"):
                pass

    asyncio.run(scenario())


def test_a_full_disk_fails_the_unit_keeps_the_rest_and_recovers(backend):
    async def scenario():
        async with backend.open("region") as store:
            assert isinstance(await store.commit(batch("u1", put("a"))), Committed)
            pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
            store._writer.execute(f"PRAGMA max_page_count={pages}")
            with pytest.raises(StoreFull):
                await store.commit(batch("u2", put("big", b"x" * 400_000)))
            assert await store.read([("t", "big")]) == [None]
            store._writer.execute("PRAGMA max_page_count=1000000")
            assert (await store.commit(batch("u3", put("big", b"x" * 400_000)))).seq == 2

    asyncio.run(scenario())


def test_what_a_region_writes_is_told_once_it_is_durable_and_what_found_no_room_never(backend):
    async def scenario():
        async with backend.open("region") as store:
            told = []
            store.listeners.writes = lambda writes: told.append((store.head, [write.key for write in writes]))
            await asyncio.gather(store.commit(batch("u1", put("a"), put("b"))), store.commit(batch("u2", put("c"))))
            pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
            store._writer.execute(f"PRAGMA max_page_count={pages}")
            with pytest.raises(StoreFull):
                await store.commit(batch("u3", put("big", b"x" * 400_000)))
            await store.commit(batch("u4", put("a")))
            assert told == [(2, ["a", "b"]), (2, ["c"]), (3, ["a"])]

    asyncio.run(scenario())


def test_a_full_disk_leaves_the_journal_as_it_is_until_there_is_room_to_compact_it(backend):
    async def scenario():
        async with backend.open("region") as store:
            for number in range(10):
                await store.commit(batch(f"u{number}", put(str(number), b"%d" % number * 20_000)))
            before = await store.journal({"eu/1": 0}, 100)
            pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
            store._writer.execute(f"PRAGMA max_page_count={pages}")
            with pytest.raises(StoreFull):
                await store.compact(ALL)
            assert (store.floors(), await store.journal({"eu/1": 0}, 100)) == ({}, before)
            store._writer.execute("PRAGMA max_page_count=1000000")
            assert await store.compact(ALL) == 10
            assert [row.value for row in await store.query(span("9", "~"))] == [b"9" * 20_000]

    asyncio.run(scenario())


def test_a_file_whose_journal_was_never_compacted_is_taken_over(backend):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a")))
        connection = sqlite3.connect(backend.where("region"))
        connection.executescript("DROP TABLE base; DROP TABLE floors; DROP TABLE staged; PRAGMA user_version=2")
        connection.close()
        async with backend.open("region") as store:
            assert (store.floors(), await store.compact(ALL), store.floors()) == ({}, 1, {"eu/1": 1})

    asyncio.run(scenario())


def test_a_failed_fsync_ends_the_process(backend):
    async def scenario():
        async with backend.open("region") as store:
            ended = []
            store._group.on_failure = ended.append

            def fails():
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error

            store._group._sync = fails
            with pytest.raises(sqlite3.OperationalError):
                await store.commit(batch("u1", put("a")))
            assert [str(error) for error in ended] == ["disk I/O error"]

    asyncio.run(scenario())


def test_the_conflict_log_keeps_so_many_records_of_so_long_and_counts_what_it_drops(backend, monkeypatch):
    monkeypatch.setattr(records, "TRIM_EVERY", 1)
    monkeypatch.setattr(records, "CONFLICTS_KEPT", 3)

    async def conflict(store, number):
        await store.commit(batch(f"u{number}", put("a")))
        await store.apply([foreign(number)], Terms())

    async def scenario():
        async with backend.open("region") as store:
            for number in range(1, 6):
                await conflict(store, number)
            assert (len(await store.conflicts()), store.conflicts_dropped()) == (3, 2)
            backend.clock.time += records.CONFLICTS_KEPT_S + 1
            await conflict(store, 6)
        async with backend.open("region") as store:
            assert (len(await store.conflicts()), store.conflicts_dropped()) == (1, 5)

    asyncio.run(scenario())


def test_a_damaged_file_is_named_and_not_repaired_in_silence(tmp_path):
    path = tmp_path / "region.db"
    path.write_bytes(b"not a database, but long enough to look like a file" * 100)
    with pytest.raises(StoreCorrupt, match=r"region\.db"):
        SqliteRegionStore(path, "eu", ManualClock(), None)


def test_a_file_that_is_damaged_while_it_is_open_is_told_of_in_words_and_remembered(backend):
    async def scenario():
        async with backend.open("region") as store:
            writes = [put(f"{number:05}", b"x" * 1000) for number in range(500)]
            await store.commit(batch("u1", *writes))
            store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            spoil(backend.folder / "region.db")
            for connection in (store._reader, store._writer):
                connection.execute("PRAGMA shrink_memory")
            with pytest.raises(StoreCorrupt, match="malformed"):
                await store.read([("t", f"{number:05}") for number in range(500)])
            assert "malformed" in store.damaged

    asyncio.run(scenario())


def test_a_commit_that_meets_a_damaged_file_is_refused_and_nothing_of_it_is_kept(backend):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", *[put(f"{number:05}", b"x" * 1000) for number in range(500)]))
            store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            spoil(backend.folder / "region.db")
            store._writer.execute("PRAGMA shrink_memory")
            store._group.on_failure = lambda _: None
            with pytest.raises(StoreCorrupt, match="malformed"):
                await store.commit(batch("u2", *[put(f"{number:05}", b"y") for number in range(500)]))
            assert ("malformed" in store.damaged, store.cursors()) == (True, {"eu/1": 1})

    asyncio.run(scenario())


def spoil(path):
    """Overwrite the pages of a database but the first few, as a bad disk would."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096 * 30)
        file.write(b"\xff" * (size - 4096 * 30))


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "region.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreNewer, match="format"):
        SqliteRegionStore(path, "eu", ManualClock(), None)


FSYNC_PROGRAM = Path(__file__).with_name("fsync_program.py")


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
def test_many_units_share_one_fsync_and_none_is_answered_before_it(tmp_path):
    """Traced from outside: the answers of a batch leave after the fdatasync of its log, one for the whole batch."""
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-o", trace, "-e", "trace=fsync,fdatasync,write", sys.executable, FSYNC_PROGRAM, tmp_path],
        check=True,
        timeout=60,
    )
    events = [
        "sync" if "sync(" in line else line.split('"')[1]
        for line in trace.read_text().splitlines()
        if ("sync(" in line and "= 0" in line)
        or ("write(" in line and '"mark:' in line)
        or ("sync resumed>" in line and "= 0" in line)
    ]
    begin, end = events.index("mark:begin\\n"), events.index("mark:end\\n")
    batch_events = events[begin + 1 : end]
    assert batch_events == ["sync"] + ["mark:answer\\n"] * 50


def spoil_records(store, table, column):
    store._writer.execute(f"UPDATE {table} SET {column} = X'C1'")
    store._writer.commit()


@pytest.mark.parametrize(
    ("unit", "kept", "pairs"),
    [("u1", "whole", []), ("u0", "whole", [("k", True)]), ("u2", "damaged", [("k", True)])],
    ids=["the same unit", "an earlier unit", "a later unit"],
)
def test_a_damaged_record_of_a_key_that_another_region_finished_too_does_not_end_replication(
    backend, unit, kept, pairs
):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a"), key="k"))
            spoil_records(store, "outcomes", "record")
            with pytest.raises(StoreCorrupt, match="the record of a finished key of POST /x does not decode"):
                await store.commit(batch("again", put("a"), key="k"))
            applied = await store.apply([partial(1, outcome=outcome("k", unit)), foreign(2)], Terms())
            assert applied == {"eu/1": 1, "us/1": 2}
            assert [(pair.kept.key, pair.damaged) for pair in await store.duplicates()] == pairs
            if kept == "whole":
                assert await store.outcome("POST /x", "k") == outcome("k", unit)
            else:
                with pytest.raises(StoreCorrupt):
                    await store.outcome("POST /x", "k")

    asyncio.run(scenario())


def test_a_pair_with_a_damaged_record_does_not_keep_late_commits_from_being_set_aside_and_its_key_stays_taken(backend):
    async def scenario():
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a"), key="k"))
            late = partial(1, outcome=outcome("k", "u0"), writes=[put("b", mode="active")])
            await store.apply([late], Terms())
            spoil_records(store, "doubled", "other")
            assert await store.set_aside([Cut(2, "us/1", 0)]) == 1
            assert await store.duplicates() == []
            with pytest.raises(StoreCorrupt):
                await store.commit(batch("again", put("a"), key="k"))

    asyncio.run(scenario())


def test_a_damaged_entry_of_those_that_lack_something_hides_none_of_the_others(backend):
    async def scenario():
        async with backend.open("region") as store:
            await store.apply([partial(1, HERE), partial(2, HERE)], Terms())
            store._writer.execute("UPDATE journal SET entry = X'C1' WHERE seq = 1")
            store._writer.commit()
            assert await store.gaps() == [Gap("us/1", 2, (HERE,))]
            assert await store.repairs.torn() == [("us/1", 1)]

    asyncio.run(scenario())
