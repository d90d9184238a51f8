"""What every engine must do: one suite, run over each backend by `test_engines_*.py`.

A backend gives an async context manager `open(kind, permit, schemas)`, which opens a region's store or the global one:
empty the first time, and the same one the next time within a test. The stores go by its manual `clock`.
"""

import asyncio

import msgspec
import pytest

from proa.core.dedupe import HANDLED, Outcome
from proa.core.replicate.journal import Commit, Withheld, Write
from proa.core.replicate.records import ConflictsWanted
from proa.core.replicate.tombstones import Passed
from proa.core.residency import Gap, Holding, part, sealed, sealed_key
from proa.core.roles import Cut
from proa.core.time import stamp_of
from proa.errors import SchemaIncompatible
from proa.ports import Batch, Committed, Conflict, Fenced, Found, Identity, Schema, Span, Terms


def put(key, value=b"v", table="t", mode="any", **more):
    return Write(table, key, value, mode, **more)


def batch(name, *writes, reads=None, key=None, **more):
    return Batch(name, reads or {}, list(writes), outcome(key, name) if key else None, **more)


def outcome(key, unit="unit", expires_at=2_000_000.0):
    return Outcome("POST /x", key, b"digest", 200, [], b"{}", unit, "eu", expires_at)


def span(start, end, limit=100, now=10.0, **more):
    return Span("t", ("", start), ("", end), limit, now, **more)


def by(start, end, limit=100, now=10.0, **more):
    """A stretch of the index that `INDEXED` declares."""
    return Span("t", (start, ""), (end, ""), limit, now, "by", **more)


def entries_of(_, value):
    """What the index of table `t` knows a row by: its value, unless that is `-`."""
    if value == b"?":
        raise ValueError("torn")
    return {} if value == b"-" else {"by": value.decode()}


INDEXED = {"t": Schema("1", ("by",), entries_of)}


HERE, ELSEWHERE = part("t", ["eu", "de"]), part("t", ["us"])
RESIDENT = {"t": Schema("1", (), entries_of), HERE: Schema("1", (), entries_of)}


def partial(seq, *withheld, epoch=0, mode="any", outcome=None, writes=()):
    """A commit of another region that lacks writes of these parts, encoded."""
    gone = [Withheld(table, mode, 1) for table in withheld]
    return msgspec.msgpack.encode(
        Commit("us/1", seq, seq << 20, epoch, {}, list(writes), [], outcome, f"f{seq}", "", gone)
    )


def keys(rows):
    return [row.key for row in rows]


def decoded(entries):
    return [msgspec.msgpack.decode(entry, type=Commit) for entry in entries]


class Conformance:
    """Inherit and set `backend`."""

    def run(self, backend, scenario):
        asyncio.run(scenario(backend))

    # Both stores.

    @pytest.mark.parametrize("kind", ["region", "global"])
    def test_a_commit_is_read_back_and_absent_rows_are_none(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                assert await store.read([("t", "a")]) == [None]
                assert isinstance(await store.commit(batch("u1", put("a", b"1"))), Committed)
                row, none = await store.read([("t", "a"), ("t", "b")])
                assert (row.value, row.version > 0, none) == (b"1", True, None)

        self.run(backend, scenario)

    @pytest.mark.parametrize("kind", ["region", "global"])
    def test_a_commit_in_a_region_names_its_origin_and_its_place_there(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a")))
                second = await store.commit(batch("u2", put("b")))
                named = (store.origin, store.cursors()[store.origin]) if kind == "region" else ("", second.seq)
                assert (second.origin, second.seq) == named

        self.run(backend, scenario)

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
    def test_of_many_units_that_read_the_same_version_at_once_one_commits(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                racers = [batch(f"u{i}", put("a", b"%d" % i), reads={("t", "a"): 0}) for i in range(20)]
                results = await asyncio.gather(*map(store.commit, racers))
                assert sum(isinstance(result, Committed) for result in results) == 1
                assert results.count(Conflict(("t", "a"))) == 19

        self.run(backend, scenario)

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
    def test_two_attempts_under_one_key_in_one_batch_commit_once(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                attempts = [batch(f"u{i}", put("a", b"%d" % i), key="k") for i in range(5)]
                results = await asyncio.gather(*map(store.commit, attempts))
                assert [type(result) for result in results] == [Committed] + [Found] * 4

        self.run(backend, scenario)

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
    def test_several_rows_are_read_at_one_moment_each_as_often_as_asked(self, backend, kind):
        async def scenario(backend):
            async with backend.open(kind) as store:
                await store.commit(batch("u1", put("a", b"1"), put("b", b"2")))
                rows = await store.read([("t", "b"), ("t", "x"), ("t", "a"), ("t", "b")])
                assert [row and row.value for row in rows] == [b"2", None, b"1", b"2"]
                assert await store.read([]) == []

        self.run(backend, scenario)

    # Indexes.

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    @pytest.mark.parametrize("kind", ["region", "global"])
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

    def test_an_index_follows_other_regions_commits_and_the_winners_of_merges(self, backend):
        async def scenario(backend):
            async with backend.open("region", schemas=INDEXED) as store:
                await store.apply([foreign(seq, value=b"x%d" % seq) for seq in (1, 2)], Terms())
                assert keys(await store.query(by("x1", "x2"))) == []
                assert keys(await store.query(by("x2", "x3"))) == ["a"]
                await store.commit(batch("u1", put("a", b"x5")))
                await store.apply([foreign(1, origin="ap/1", value=b"x7")], Terms())
                assert [row.value for row in await store.query(by("x", "y"))] == [b"x5"]

        self.run(backend, scenario)

    def test_an_index_finds_what_is_left_when_a_suffix_is_set_aside(self, backend):
        async def scenario(backend):
            async with backend.open("region", schemas=INDEXED) as store:
                await store.commit(batch("u1", put("a", b"x1", mode="active"), put("c", b"x1"), epoch=1))
                await store.commit(batch("u2", put("a", b"x2", mode="active"), put("b", b"x2"), epoch=1))
                assert keys(await store.query(by("x2", "x3"))) == ["a", "b"]
                await store.set_aside([Cut(2, "eu/1", 1)])
                assert keys(await store.query(by("x2", "x3"))) == []
                assert keys(await store.query(by("x1", "x2"))) == ["a", "c"]

        self.run(backend, scenario)

    # The global store.

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

    # A region's store.

    def test_the_journal_has_every_commit_once_in_order_with_what_it_depended_on(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.apply([foreign(1)], Terms())
                await asyncio.gather(*(store.commit(batch(f"u{i}", put(str(i)))) for i in range(5)))
                commits = decoded(await store.journal({"eu/1": 0}, 10))
                assert [commit.seq for commit in commits] == [1, 2, 3, 4, 5]
                assert all(commit.deps == {"us/1": 1} for commit in commits)
                assert len({commit.stamp for commit in commits}) == 5
                assert [commit.seq for commit in decoded(await store.journal({"eu/1": 3}, 1))] == [4]
                assert len(await store.journal({"eu/1": 0}, 10, size=1)) == 1
                assert await store.journal({"us/1": 0}, 10) == [foreign(1)]

        self.run(backend, scenario)

    def test_the_journal_gives_each_origin_a_share_of_its_room(self, backend):
        """One that has much to tell must not keep back what its commits depend on."""

        async def scenario(backend):
            async with backend.open("region") as store:
                await store.apply([foreign(seq) for seq in (1, 2, 3)], Terms())
                for number in range(20):
                    await store.commit(batch(f"u{number}", put(str(number), b"x" * 100)))
                for limit, size in ((4, 10_000), (100, 500), (100, 1)):
                    told = decoded(await store.journal({"eu/1": 0, "us/1": 0}, limit, size))
                    assert {commit.origin for commit in told} == {"eu/1", "us/1"}
                    assert len(told) <= limit
                assert len(await store.journal({"eu/1": 0, "us/1": 3}, 100)) == 20

        self.run(backend, scenario)

    def test_another_regions_commits_are_applied_once_in_order_and_after_their_causes(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                late = foreign(1, origin="ap/1", deps={"us/1": 2})
                assert await store.apply([foreign(2), late], Terms()) == {"eu/1": 0}
                assert (await store.apply([foreign(1), foreign(1), late], Terms()))["us/1"] == 1
                cursors = await store.apply([foreign(1), foreign(2), late, late], Terms())
                assert cursors == {"eu/1": 0, "us/1": 2, "ap/1": 1}

        self.run(backend, scenario)

    def test_an_applied_commit_aborts_a_unit_that_had_read_the_row(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.apply([foreign(1)], Terms())
                assert await store.commit(batch("u", put("x"), reads={("t", "a"): 0})) == Conflict(("t", "a"))

        self.run(backend, scenario)

    def test_a_held_origin_goes_no_further_than_its_limit(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                entries = [foreign(seq) for seq in range(1, 6)]
                assert (await store.apply(entries, Terms(limits={"us/1": 3})))["us/1"] == 3
                assert (await store.apply(entries, Terms()))["us/1"] == 5

        self.run(backend, scenario)

    @pytest.mark.parametrize("mode", ["active", "home"])
    def test_commits_past_a_cut_are_parked_whole_and_served_on(self, backend, mode):
        async def scenario(backend):
            async with backend.open("region") as store:
                entries = [foreign(seq, mode=mode, epoch=1) for seq in (1, 2)]
                terms = Terms(cuts=(Cut(2, "us/1", 1),))
                assert (await store.apply(entries, terms))["us/1"] == 2
                assert [parked.commit.seq for parked in await store.parked()] == [2]
                assert [store.parked_between("us/1", *stretch) for stretch in ((0, 1), (1, 2), (2, 9))] == [0, 1, 0]
                assert (await store.read([("t", "a")]))[0].seq == 1
                assert len(await store.journal({"us/1": 0}, 10)) == 2

        self.run(backend, scenario)

    @pytest.mark.parametrize("mode", ["active", "home"])
    def test_a_suffix_set_aside_leaves_the_rows_that_the_rest_of_the_journal_makes(self, backend, mode):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a", b"kept", mode=mode), epoch=1))
                await store.commit(batch("u2", put("a", b"late", mode=mode), put("b"), epoch=1, key="k"))
                await store.commit(batch("u3", put("c", b"any"), epoch=1))
                assert await store.set_aside([Cut(2, "eu/1", 1)]) == 1
                a, b, c = await store.read([("t", "a"), ("t", "b"), ("t", "c")])
                assert (a.value, b, c.value) == (b"kept", None, b"any")
                assert await store.outcome("POST /x", "k") is None
                assert await store.set_aside([Cut(2, "eu/1", 1)]) == 0
            async with backend.open("region") as store:
                assert [parked.commit.seq for parked in await store.parked()] == [2]

        self.run(backend, scenario)

    def test_a_key_that_two_units_finished_belongs_to_the_one_that_stands_when_the_other_is_set_aside(self, backend):
        async def scenario(backend):
            theirs = Commit("us/1", 1, 2 << 20, 2, {}, [put("b", b"us", mode="active")], [], outcome("k", "u2"), "u2")
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a", b"eu", mode="active"), epoch=1, key="k"))
                await store.apply([msgspec.msgpack.encode(theirs)], Terms())
                assert (await store.outcome("POST /x", "k")).unit == "u1"
                await store.set_aside([Cut(2, "eu/1", 0)])
                assert (await store.outcome("POST /x", "k")).unit == "u2"

        self.run(backend, scenario)

    @pytest.mark.parametrize("order", [("us", "ap"), ("ap", "us")])
    def test_all_units_under_one_key_are_listed_beside_the_earliest_whatever_order_they_are_learned_in(
        self, backend, order
    ):
        async def scenario(backend):
            units = {"us": "u1", "ap": "u3"}
            async with backend.open("region") as store:
                await store.commit(batch("u2", put("a"), key="k"))
                for region in order:
                    theirs = Commit(
                        f"{region}/1", 1, 2 << 20, 0, {}, [], [], outcome("k", units[region]), units[region]
                    )
                    await store.apply([msgspec.msgpack.encode(theirs)], Terms())
                assert (await store.outcome("POST /x", "k")).unit == "u1"
            async with backend.open("region") as store:
                pairs = {pair.other.unit: pair.kept.unit for pair in await store.duplicates()}
                assert pairs == {"u2": "u1", "u3": "u1"}
                assert store.duplicates_counted() == (2, 0)

        self.run(backend, scenario)

    @pytest.mark.parametrize(("cut_off", "kept", "left"), [("eu/1", "u2", ["u3"]), ("us/1", "u1", ["u3"])])
    def test_a_unit_that_is_set_aside_leaves_the_list_and_the_earliest_of_the_others_is_kept(
        self, backend, cut_off, kept, left
    ):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a", mode="active"), epoch=1, key="k"))
                for region, unit in (("us", "u2"), ("ap", "u3")):
                    writes = [put(region, mode="active")]
                    theirs = Commit(f"{region}/1", 1, 2 << 20, 1, {}, writes, [], outcome("k", unit), unit)
                    await store.apply([msgspec.msgpack.encode(theirs)], Terms())
                await store.set_aside([Cut(2, cut_off, 0)])
                assert (await store.outcome("POST /x", "k")).unit == kept
                pairs = await store.duplicates()
                assert ([pair.other.unit for pair in pairs], {pair.kept.unit for pair in pairs}) == (left, {kept})

        self.run(backend, scenario)

    def test_a_pair_is_handled_where_the_mark_of_its_later_unit_is_written(self, backend):
        async def scenario(backend):
            theirs = Commit("us/1", 1, 2 << 20, 0, {}, [], [], outcome("k", "u2"), "u2")
            mark = put("u2", msgspec.msgpack.encode("u9"), table=HANDLED)
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a"), key="k"))
                await store.apply([msgspec.msgpack.encode(theirs)], Terms())
                assert [pair.handled for pair in await store.duplicates()] == [""]
                await store.commit(batch("u9", mark, reads={(HANDLED, "u2"): 0}))
                assert [pair.handled for pair in await store.duplicates()] == ["u9"]
                again = await store.commit(batch("u10", mark, reads={(HANDLED, "u2"): 0}))
                assert (again, store.duplicates_counted()) == (Conflict((HANDLED, "u2")), (1, 1))

        self.run(backend, scenario)

    def test_a_pair_leaves_the_list_after_thirty_days(self, backend):
        async def scenario(backend):
            theirs = Commit("us/1", 1, 2 << 20, 0, {}, [], [], outcome("k", "u2"), "u2")
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a"), key="k"))
                await store.apply([msgspec.msgpack.encode(theirs)], Terms())
                for days, listed in ((29, 1), (31, 0)):
                    backend.clock.time = 1_000_000.0 + days * 24 * 3600
                    await asyncio.gather(*(store.commit(batch(f"d{days}-{n}", put("a"))) for n in range(500)))
                    assert len(await store.duplicates()) == listed

        self.run(backend, scenario)

    def test_a_tombstone_is_forgotten_when_all_peers_have_passed_it_and_stays_so_after_a_start(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a"), put("b")))
                await store.commit(batch("u2", put("a", None)))
                behind, passed = Passed({}, {store.origin: 1}), Passed({}, {store.origin: 2})
                assert await store.forget([passed, Passed()], 10) == 0
                assert await store.forget([passed, behind], 10) == 0
                assert await store.forget([passed, passed], 10) == 1
            async with backend.open("region") as store:
                gone, alive = await store.read([("t", "a"), ("t", "b")])
                assert (gone, alive.value) == (None, b"v")
                assert await store.forget([passed], 10) == 0
                assert isinstance(await store.commit(batch("u3", put("a"), reads={("t", "a"): 0})), Committed)

        self.run(backend, scenario)

    def test_an_expired_row_is_forgotten_with_its_entries_when_all_peers_have_passed_it(self, backend):
        async def scenario(backend):
            now = backend.clock.time
            async with backend.open("region", schemas=INDEXED) as store:
                await store.commit(
                    batch("u1", put("a", b"x1", expires_at=now + 5), put("b", b"x1", expires_at=now + 9))
                )
                await store.commit(batch("u2", put("c", b"x1")))
                behind, passed = Passed({}, {}), Passed({}, {store.origin: 1})
                backend.clock.time = now + 6
                assert await store.forget([passed, behind], 10, now + 6) == 0
                assert await store.forget([passed, passed], 10, now + 4) == 0
                assert await store.forget([passed, passed], 10, now + 6) == 1
            backend.clock.time = now + 1
            async with backend.open("region", schemas=INDEXED) as store:
                assert keys(await store.query(by("x", "y"))) == ["b", "c"]
                assert await store.read([("t", "a")]) == [None]
                assert isinstance(await store.commit(batch("u3", put("a"), reads={("t", "a"): 0})), Committed)
                (anew,) = await store.read([("t", "a")])
                assert anew.stamp >= stamp_of(now + 6)

        self.run(backend, scenario)

    def test_so_many_expired_rows_are_forgotten_at_a_time(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", *(put(f"{number}", expires_at=float(number)) for number in range(7))))
                assert [await store.forget([], 3, 100.0) for _ in range(4)] == [3, 3, 1, 0]

        self.run(backend, scenario)

    def test_a_commit_that_lacks_what_the_region_may_hold_is_listed_until_a_whole_copy_takes_its_place(self, backend):
        async def scenario(backend):
            whole = partial(1, writes=[put("a", b"1", HERE)])
            async with backend.open("region") as store:
                entries = [partial(1, HERE), partial(2, ELSEWHERE), partial(3, writes=[put("a", b"3", HERE)])]
                assert (await store.apply(entries, Terms()))["us/1"] == 3
                assert await store.gaps(10) == [Gap("us/1", 1, (HERE,))]
            async with backend.open("region") as store:
                assert await store.fill([partial(1, HERE)]) == 0
                assert await store.fill([whole, whole, entries[2]]) == 1
                assert await store.gaps(10) == []
                assert [row.value for row in await store.read([(HERE, "a")])] == [b"3"]
                assert decoded(await store.journal({"us/1": 0}, 10)) == decoded([whole, *entries[1:]])

        self.run(backend, scenario)

    def test_copies_of_which_none_is_whole_complete_each_other(self, backend):
        async def scenario(backend):
            other = part("t", ["eu", "ap"])
            async with backend.open("region") as store:
                await store.apply([partial(1, HERE, other)], Terms())
                assert await store.fill([partial(1, other, writes=[put("a", b"1", HERE)])]) == 1
                assert await store.gaps(10) == [Gap("us/1", 1, (other,))]
                assert await store.fill([partial(1, HERE, writes=[put("b", b"2", other)])]) == 1
                assert await store.gaps(10) == []
                assert [row.value for row in await store.read([(HERE, "a"), (other, "b")])] == [b"1", b"2"]

        self.run(backend, scenario)

    def test_a_whole_copy_of_a_parked_commit_is_parked_too(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                terms = Terms(cuts=(Cut(2, "us/1", 0),))
                await store.apply([partial(1, HERE, mode="active", epoch=1)], terms)
                assert [parked.commit.seq for parked in await store.parked()] == [1]
                whole = partial(1, writes=[put("a", b"1", HERE, "active")], epoch=1)
                assert await store.fill([whole]) == 1
                assert await store.read([(HERE, "a")]) == [None]
                assert [parked.commit for parked in await store.parked()] == decoded([whole])

        self.run(backend, scenario)

    def test_a_key_known_by_its_digest_alone_is_found_and_gives_way_to_the_whole_answer(self, backend):
        async def scenario(backend):
            answer = msgspec.structs.replace(outcome("k", "f1"), holders=("de", "us"))
            async with backend.open("region", schemas=RESIDENT) as store:
                await store.apply([partial(1, outcome=sealed(answer))], Terms())
                assert await store.commit(batch("u1", put("a"), key="k")) == Found(sealed(answer))
                assert await store.outcome("POST /x", "k") == sealed(answer)
                assert store.finished_lately("POST /x", "k")

        self.run(backend, scenario)

    def test_an_answer_that_came_sealed_is_replaced_by_the_whole_copy_of_its_commit(self, backend):
        async def scenario(backend):
            answer = msgspec.structs.replace(outcome("k", "f1"), holders=("eu", "us"))
            async with backend.open("region", schemas=RESIDENT) as store:
                await store.apply([partial(1, outcome=sealed(answer))], Terms())
                assert await store.gaps(10) == [Gap("us/1", 1, (), answer=True)]
                assert await store.fill([partial(1, outcome=answer)]) == 1
                assert await store.outcome("POST /x", "k") == answer

        self.run(backend, scenario)

    def test_a_sealed_answer_meets_the_regions_own_under_its_key(self, backend):
        async def scenario(backend):
            theirs = sealed(msgspec.structs.replace(outcome("k", "f1"), holders=("us",)))
            async with backend.open("region", schemas=RESIDENT) as store:
                await store.commit(batch("u1", put("a"), key="k"))
                await store.apply([partial(1, outcome=theirs)], Terms())
                assert [(one.kept, one.other.unit) for one in await store.duplicates()] == [(theirs, "u1")]
                assert await store.outcome("POST /x", "k") == theirs

        self.run(backend, scenario)

    def test_keys_finished_before_any_residency_was_declared_stay_finished(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a"), key="k"))
            async with backend.open("region", schemas=RESIDENT) as store:
                assert await store.commit(batch("u2", put("a"), key="k")) == Found(outcome("k", "u1"))
                await store.commit(batch("u3", put("a"), key="l"))
            async with backend.open("region") as store:
                assert await store.commit(batch("u4", put("a"), key="l")) == Found(outcome("l", "u3"))
                assert sealed_key("l") != "l"

        self.run(backend, scenario)

    def test_a_store_counts_what_it_holds_that_only_some_regions_may(self, backend):
        async def scenario(backend):
            async with backend.open("region", schemas=RESIDENT) as store:
                answer = msgspec.structs.replace(outcome("k", "u1"), holders=("de", "eu"))
                unit = batch("u1", put("a", b"good", HERE), put("b", b"bad", HERE), put("c", b"x"))
                unit.outcome = answer
                await store.commit(unit)
                await store.commit(batch("u2", put("a", None, HERE), key="other"))
                await store.apply([foreign(1), partial(2, writes=[put("z", b"leak", ELSEWHERE)])], Terms())
                regions = ("de", "eu")
                assert (await store.holdings(lambda _, value: value != b"bad")).held == [
                    Holding("answers", "", regions, 1),
                    Holding("answers, journal writes", "", regions, 1),
                    Holding("journal writes", HERE, regions, 3),
                    Holding("journal writes", ELSEWHERE, ("us",), 1),
                    Holding("misplaced rows", HERE, regions, 1),
                    Holding("rows", HERE, regions, 2),
                    Holding("rows", ELSEWHERE, ("us",), 1),
                ]

        self.run(backend, scenario)

    @pytest.mark.parametrize(("before", "after"), [(HERE, "t"), ("t", HERE), (HERE, part("t", ["eu"]))])
    def test_rows_of_a_residency_that_is_declared_no_more_are_refused_at_the_start(self, backend, before, after):
        async def scenario(backend):
            async with backend.open("region", schemas={before: RESIDENT["t"]}) as store:
                await store.commit(batch("u1", put("a", table=before)))
            with pytest.raises(SchemaIncompatible, match="declare it beside the new one"):
                async with backend.open("region", schemas={after: RESIDENT["t"]}):
                    pass

        self.run(backend, scenario)

    def test_a_permit_that_refuses_leaves_nothing_behind(self, backend):
        async def scenario(backend):
            refusal = Fenced("PROA-R001", "not here")
            async with backend.open("region", permit=lambda _: refusal) as store:
                assert await store.commit(batch("u1", put("a"), key="k")) == refusal
                assert await store.read([("t", "a")]) == [None]
                assert store.cursors() == {"eu/1": 0}

        self.run(backend, scenario)

    def test_the_conflict_log_is_asked_by_table_key_and_time_and_names_commits_that_the_journal_has(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a"), put("a", table="other"), put("p\x1fq")))
                theirs = [put("a", b"x"), put("a", b"x", table="other"), put("p\x1fq", b"x")]
                commit = Commit("us/1", 1, 1 << 20, 0, {}, theirs, [], None, "f1")
                await store.apply([msgspec.msgpack.encode(commit)], Terms())
                asked = {
                    ConflictsWanted(): 3,
                    ConflictsWanted(limit=2): 2,
                    ConflictsWanted("t"): 2,
                    ConflictsWanted("t", "a"): 1,
                    ConflictsWanted("t", "p/q"): 1,
                    ConflictsWanted("t", "b"): 0,
                    ConflictsWanted(since=backend.clock.now() + 1): 0,
                }
                assert {wanted: len(await store.conflicts(wanted)) for wanted in asked} == asked
                record = (await store.conflicts(ConflictsWanted("t", "a")))[0]
                assert (record.rule, record.ours.value, record.theirs.value) == ("last_writer", b"v", b"x")
                found = await store.commits([record.ours.dot, record.theirs.dot, ("us/1", 2)])
                assert {dot: commit.unit for dot, commit in found.items()} == {("eu/1", 1): "u1", ("us/1", 1): "f1"}

        self.run(backend, scenario)

    def test_a_new_incarnation_starts_its_own_sequence_and_keeps_the_old_one(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a")))
                await store.assume(Identity(2, "other"))
                assert (await store.commit(batch("u2", put("b")))).seq == 1
            async with backend.open("region") as store:
                assert (store.origin, store.cursors()) == ("eu/2", {"eu/1": 1, "eu/2": 1})

        self.run(backend, scenario)

    def test_whoever_waits_for_a_commit_is_woken_by_it(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                waiting = asyncio.create_task(store.changed({"eu/1": 0}, 10))
                await store.commit(batch("u1", put("a")))
                assert await waiting is True
                assert await store.changed({"eu/1": 1}, 0.01) is False

        self.run(backend, scenario)


def foreign(seq, origin="us/1", mode="any", epoch=0, deps=None, value=None):
    """A commit of another region, encoded."""
    write = put("a", value or b"%d" % seq, mode=mode)
    commit = Commit(origin, seq, seq << 20, epoch, deps or {}, [write], [], None, f"f{seq}")
    return msgspec.msgpack.encode(commit)
