"""What every store must do, a region's and the global one; and what every global store must do.

A backend is what `conformance` says; one that has no region's store says so by its own `kind`.
"""

import asyncio

import msgspec
import pytest

from engines.conformance import INDEXED, batch, by, entries_of, keys, outcome, put, span
from proa.engines.global_rows import EXPIRED_KEPT_S, TRANSACTIONS_KEPT_S
from proa.errors import SchemaIncompatible
from proa.ports import Committed, Conflict, Found, Schema

SWEPT_AFTER = 500
"""After so many commits at the latest, a store removes some of what it need not keep."""


class StoreConformance:
    """Inherit and set `backend`; `kind` is the store that a test opens."""

    @pytest.fixture(params=["region", "global"])
    def kind(self, request):
        return request.param

    def run(self, backend, scenario):
        asyncio.run(scenario(backend))

    def test_a_commit_is_read_back_and_absent_rows_are_none(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                assert await store.read([("t", "a")]) == [None]
                assert isinstance(await store.commit(batch("u1", put("a", b"1"))), Committed)
                row, none = await store.read([("t", "a"), ("t", "b")])
                assert (row.value, row.version > 0, none) == (b"1", True, None)

        self.run(backend, scenario)

    def test_a_commit_in_a_region_names_its_origin_and_its_place_there(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a")))
                second = await store.commit(batch("u2", put("b")))
                named = (store.origin, store.cursors()[store.origin]) if kind == "region" else ("", second.seq)
                assert (second.origin, second.seq) == named

        self.run(backend, scenario)

    def test_a_commit_holds_only_if_every_read_is_still_at_its_version_absence_included(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                absent = {("t", "a"): 0}
                assert isinstance(await store.commit(batch("u1", put("a"), reads=absent)), Committed)
                assert await store.commit(batch("u2", put("b"), reads=absent)) == Conflict(("t", "a"))
                (row,) = await store.read([("t", "a")])
                held = {("t", "a"): row.version}
                assert isinstance(await store.commit(batch("u3", put("a", b"2"), reads=held)), Committed)
                assert await store.commit(batch("u4", put("a", b"3"), reads=held)) == Conflict(("t", "a"))
                assert await store.read([("t", "b")]) == [None]

        self.run(backend, scenario)

    def test_of_many_units_that_read_the_same_version_at_once_one_commits(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                racers = [batch(f"u{i}", put("a", b"%d" % i), reads={("t", "a"): 0}) for i in range(20)]
                results = await asyncio.gather(*map(store.commit, racers))
                assert sum(isinstance(result, Committed) for result in results) == 1
                assert results.count(Conflict(("t", "a"))) == 19

        self.run(backend, scenario)

    def test_a_version_is_never_used_again_even_after_a_delete(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                versions = []
                for value in (b"1", None, b"2", None):
                    await store.commit(batch(f"u{len(versions)}", put("a", value)))
                    (row,) = await store.read([("t", "a")])
                    assert row.value == value
                    versions.append(row.version)
                assert versions == sorted(set(versions))

        self.run(backend, scenario)

    def test_a_finished_key_is_found_by_the_next_attempt_until_it_expires(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a", b"1"), key="k"))
                assert await store.commit(batch("u2", put("a", b"2"), key="k")) == Found(outcome("k", "u1"))
                assert await store.outcome("POST /x", "k") == outcome("k", "u1")
                assert (await store.read([("t", "a")]))[0].value == b"1"
                backend.clock.time = 2_000_000.0
                assert await store.outcome("POST /x", "k") is None
                assert isinstance(await store.commit(batch("u3", put("a", b"3"), key="k")), Committed)

        self.run(backend, scenario)

    def test_two_attempts_under_one_key_in_one_batch_commit_once(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                attempts = [batch(f"u{i}", put("a", b"%d" % i), key="k") for i in range(5)]
                results = await asyncio.gather(*map(store.commit, attempts))
                assert [type(result) for result in results] == [Committed] + [Found] * 4

        self.run(backend, scenario)

    def test_everything_committed_is_there_after_the_store_is_opened_again(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                first = await store.commit(batch("u1", put("a", b"1"), key="k"))
                (before,) = await store.read([("t", "a")])
            async with backend.open(kind) as store:
                assert await store.read([("t", "a")]) == [before]
                assert await store.outcome("POST /x", "k") == outcome("k", "u1")
                second = await store.commit(batch("u2", put("a", b"2"), reads={("t", "a"): before.version}))
                assert second.seq == first.seq + 1

        self.run(backend, scenario)

    def test_a_query_returns_the_living_rows_of_a_stretch_in_order_either_way(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                writes = [put(key, key.encode()) for key in ("d", "a", "c", "b", "\U0001f6f6", "e")]
                await store.commit(batch("u1", *writes, put("bb", table="other"), put("bc", expires_at=5.0)))
                await store.commit(batch("u2", put("d", None)))
                assert keys(await store.query(span("b", "\U0001f6f6"))) == ["b", "c", "e"]
                assert keys(await store.query(span("b", "zz", reverse=True))) == ["e", "c", "b"]
                assert keys(await store.query(span("a", "e", limit=2))) == ["a", "b"]
                assert keys(await store.query(span("a", "e", limit=2, reverse=True))) == ["c", "b"]
                assert keys(await store.query(span("b", "c", now=4.9))) == ["b", "bc"]
                assert await store.query(span("c", "c")) == []
                assert await store.query(span("b", "c")) == await store.read([("t", "b")])

        self.run(backend, scenario)

    def test_several_rows_are_read_at_one_moment_each_as_often_as_asked(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a", b"1"), put("b", b"2")))
                rows = await store.read([("t", "b"), ("t", "x"), ("t", "a"), ("t", "b")])
                assert [row and row.value for row in rows] == [b"2", None, b"1", b"2"]
                assert await store.read([]) == []

        self.run(backend, scenario)

    # Indexes.

    def test_an_index_finds_the_living_rows_by_their_entry_and_then_by_key_either_way(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind, schemas=INDEXED) as store:
                values = {"a": b"x2", "b": b"x1", "c": b"x1", "d": b"y1", "e": b"-"}
                await store.commit(batch("u1", *(put(key, value) for key, value in values.items())))
                await store.commit(batch("u2", put("f", b"x1", expires_at=5.0)))
                assert keys(await store.query(by("x", "y"))) == ["b", "c", "a"]
                assert keys(await store.query(by("x", "y", reverse=True))) == ["a", "c", "b"]
                assert keys(await store.query(by("x", "z", limit=2, reverse=True))) == ["d", "a"]
                assert keys(await store.query(by("x1", "x2", now=4.0))) == ["b", "c", "f"]
                assert keys(await store.query(msgspec.structs.replace(by("x1", "y"), start=("x1", "c")))) == ["c", "a"]
                assert await store.query(by("y1", "y2")) == await store.read([("t", "d")])

        self.run(backend, scenario)

    def test_an_index_follows_changes_and_deletes_and_keeps_out_what_it_has_no_entry_for(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind, schemas=INDEXED) as store:
                for number, value in enumerate((b"x1", b"x2", b"?", b"x2", b"-", b"x1", None, b"x9")):
                    await store.commit(batch(f"u{number}", put("a", value), put("b", value, table="other")))
                    expected = ["a"] if value in (b"x1", b"x2", b"x9") else []
                    assert keys(await store.query(by("", "z"))) == expected
                    if expected:
                        assert (await store.query(by("", "z")))[0].value == value

        self.run(backend, scenario)

    def test_an_index_declared_later_finds_the_rows_that_were_there(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a", b"x1"), put("b", b"-"), put("c", b"x0")))
            async with backend.open(kind, schemas=INDEXED) as store:
                assert keys(await store.query(by("x", "y"))) == ["c", "a"]
            async with backend.open(kind) as store:
                await store.commit(batch("u2", put("a", b"x3"), put("c", None)))
            async with backend.open(kind, schemas=INDEXED) as store:
                assert keys(await store.query(by("x2", "y"))) == ["a"]
                assert keys(await store.query(by("x0", "x3"))) == []

        self.run(backend, scenario)

    def test_rows_that_their_table_as_declared_now_cannot_read_stop_the_start_by_their_count(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a", b"?"), put("b", b"x"), put("c", b"?"), put("d", None)))
            for _ in range(2):
                with pytest.raises(SchemaIncompatible, match="2 rows of table t cannot be read, among them 'a': torn"):
                    async with backend.open(kind, schemas=INDEXED):
                        pass
            async with backend.open(kind) as store:
                await store.commit(batch("u2", put("a", b"x"), put("c", b"x")))
            async with backend.open(kind, schemas=INDEXED) as store:
                assert keys(await store.query(by("x", "y"))) == ["a", "b", "c"]

        self.run(backend, scenario)

    def test_rows_are_read_again_at_a_start_only_where_their_declaration_changed(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a", b"x")))
            reads = []

            def entries(key, value):
                reads.append(key)
                return entries_of(key, value)

            for shape in ("1", "1", "2"):
                async with backend.open(kind, schemas={"t": Schema(shape, ("by",), entries)}):
                    pass
            assert reads == ["a", "a"]

        self.run(backend, scenario)


class GlobalConformance:
    """Inherit beside `StoreConformance`."""

    def run(self, backend, scenario):
        asyncio.run(scenario(backend))

    def test_a_view_is_of_one_revision_which_later_commits_exceed(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                assert (await store.view([])).revision == 0
                first = await store.commit(batch("u1", put("a"), put("b")))
                view = await store.view([("t", "b"), ("t", "x")])
                assert (view.revision, [row and row.key for row in view.rows]) == (first.seq, ["b", None])
                second = await store.commit(batch("u2", put("c"), put("a", None)))
                view = await store.view([], span("", "z"))
                assert (view.revision, keys(view.rows)) == (second.seq, ["b", "c"])

        self.run(backend, scenario)

    def test_a_repeated_transaction_answers_what_the_first_call_did(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                ask = batch("tx", put("a"), reads={("t", "a"): 0})
                first = await store.commit(ask)
                assert await store.commit(ask) == first
                assert (await store.read([("t", "a")]))[0].version == first.seq

        self.run(backend, scenario)

    def test_a_watch_returns_changed_control_rows_and_waits_for_the_next(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("eu", b"1", table="~nodes"), put("a", table="t")))
                changes = await store.watch("~", 0, 0)
                assert [(row.table, row.key, row.value) for row in changes.rows] == [("~nodes", "eu", b"1")]
                waiting = asyncio.create_task(store.watch("~", changes.revision, 10))
                await store.commit(batch("u2", put("b", table="t")))
                await store.commit(batch("u3", put("us", b"2", table="~nodes")))
                assert [row.key for row in (await waiting).rows] == ["us"]
                assert (await store.watch("~", 3, 0)).rows == []

        self.run(backend, scenario)

    def test_what_is_routine_wakes_no_watcher_and_comes_with_the_news(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                waiting = asyncio.create_task(store.watch("~", 0, 10))
                await store.commit(batch("u1", put("eu", b"1", table="~nodes"), routine=True))
                await store.commit(batch("u2", put("us", b"1", table="~nodes"), routine=True))
                assert not waiting.done()
                await store.commit(batch("u3", put("present", b"1", table="~roles")))
                assert keys((await waiting).rows) == ["eu", "us", "present"]

        self.run(backend, scenario)

    def test_a_watch_that_names_tables_is_woken_by_their_news_alone_and_told_everything(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("eu", b"1", table="~nodes")))
                waiting = asyncio.create_task(store.watch("~", 0, 10, ["~roles"]))
                await store.commit(batch("u2", put("us", b"1", table="~nodes")))
                await asyncio.sleep(0)
                assert not waiting.done()
                await store.commit(batch("u3", put("present", b"1", table="~roles")))
                assert keys((await waiting).rows) == ["eu", "us", "present"]

        self.run(backend, scenario)

    def test_what_is_routine_comes_when_the_time_is_up(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("eu", b"1", table="~nodes"), routine=True))
                assert keys((await store.watch("~", 0, 0)).rows) == ["eu"]
                assert keys((await store.watch("~", 0, 0.01)).rows) == ["eu"]

        self.run(backend, scenario)

    def test_a_row_that_was_routine_is_news_when_it_is_written_as_news(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("eu", b"1", table="~nodes"), routine=True))
                waiting = asyncio.create_task(store.watch("~", 0, 10))
                await asyncio.sleep(0)
                await store.commit(batch("u2", put("eu", b"2", table="~nodes")))
                assert [row.value for row in (await waiting).rows] == [b"2"]

        self.run(backend, scenario)

    def test_a_watch_tells_how_long_what_is_routine_was_kept(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("eu", b"1", table="~nodes"), routine=True))
                backend.clock.time += 0.5
                await store.commit(batch("u2", put("us", b"1", table="~nodes")))
                backend.clock.time += 0.25
                changes = await store.watch("~", 0, 0)
                assert dict(zip(keys(changes.rows), changes.kept_s, strict=True)) == {"eu": 0.75, "us": 0.0}

        self.run(backend, scenario)

    def test_a_watch_of_a_store_that_was_opened_again_tells_what_changed_before(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("eu", b"1", table="~nodes")))
                await store.commit(batch("u2", put("a", table="t")))
            async with backend.open("global") as store:
                assert [row.key for row in (await store.watch("~", 0, 0)).rows] == ["eu"]
                assert (await store.watch("~", 1, 0)).rows == []
                await store.commit(batch("u3", put("us", b"2", table="~nodes")))
                assert [row.key for row in (await store.watch("~", 0, 0)).rows] == ["eu", "us"]

        self.run(backend, scenario)

    def test_a_scan_returns_a_table_by_key(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u1", put("b"), put("a"), put("c", table="other")))
                assert [row.key for row in await store.scan("t")] == ["a", "b"]

        self.run(backend, scenario)

    def test_rows_that_expired_are_collected_while_units_commit_with_their_index_entries(self, backend):
        async def many(store, name):
            await asyncio.gather(*(store.commit(batch(f"{name}{i}", put(name))) for i in range(SWEPT_AFTER)))

        async def scenario(backend):
            async with backend.open("global", schemas=INDEXED) as store:
                expiry = {"late": backend.clock.time + 1, "long": backend.clock.time + 10_000, "never": None}
                await store.commit(batch("u", *(put(key, b"x", expires_at=at) for key, at in expiry.items())))
                backend.clock.time += EXPIRED_KEPT_S
                await many(store, "u")
                assert [row is not None for row in await store.read([("t", key) for key in expiry])] == [True] * 3
                backend.clock.time += 2
                await many(store, "v")
                assert [row is not None for row in await store.read([("t", key) for key in expiry])] == [
                    False, True, True,
                ]  # fmt: skip
                await store.commit(batch("again", put("late", b"y")))
                assert keys(await store.query(by("x", "z"))) == ["long", "never", "late"]

        self.run(backend, scenario)

    def test_what_a_transaction_answered_is_kept_for_ten_minutes_and_not_for_ever(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                first = await store.commit(batch("tx", put("a")))
                backend.clock.time += TRANSACTIONS_KEPT_S - 1
                await asyncio.gather(*(store.commit(batch(f"u{i}", put("u"))) for i in range(SWEPT_AFTER)))
                assert await store.commit(batch("tx", put("a"))) == first
                backend.clock.time += 2
                await asyncio.gather(*(store.commit(batch(f"v{i}", put("u"))) for i in range(SWEPT_AFTER)))
                assert (await store.commit(batch("tx", put("a")))).seq > first.seq

        self.run(backend, scenario)

    def test_batches_of_one_moment_lose_races_alone(self, backend):
        async def scenario(backend):
            async with backend.open("global") as store:
                await store.commit(batch("u0", put("a"), key="k"))
                asked = [
                    batch("u1", put("b")),
                    batch("u2", put("c"), reads={("t", "a"): 0}),
                    batch("u3", put("d"), key="k"),
                    batch("u4", put("e"), reads={("t", "b"): 2}),
                    batch("u1", put("f")),
                ]
                results = await asyncio.gather(*map(store.commit, asked))
                assert [type(result) for result in results] == [Committed, Conflict, Found, Committed, Committed]
                assert (results[4], results[3].seq) == (results[0], results[0].seq + 1)
                assert keys(await store.scan("t")) == ["a", "b", "e"]

        self.run(backend, scenario)
