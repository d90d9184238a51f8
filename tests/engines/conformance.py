"""What every region's store must do: one suite, run over each backend by `test_engines_*.py`.

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
