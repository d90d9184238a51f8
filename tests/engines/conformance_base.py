"""What every region's store must do about its journal's past: compaction, and snapshots for those who come too late."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from engines.conformance import INDEXED, batch, by, decoded, foreign, keys, outcome, put, span
from proa.core.replicate.compaction import Retention
from proa.core.replicate.journal import Commit, Write
from proa.core.replicate.snapshot import ROWS, START
from proa.core.replicate.tombstones import Passed
from proa.core.roles import Cut
from proa.errors import CutBelowFloor
from proa.ports import Committed, Fenced, Identity, Terms

EVERYTHING = dict.fromkeys(("eu/1", "us/1", "ap/1"), 1 << 62)
ALL = Retention(old=1 << 62, oldest=1 << 62, copied=EVERYTHING)


def entry(origin, seq, *writes, deps=None, stamp=None, **more):
    """A commit of another region, encoded."""
    fields = {"epoch": 0, "reads": [], "outcome": None, "unit": f"{origin} {seq}"} | more
    stamp = stamp or seq << 20
    commit = Commit(
        origin, seq, stamp, fields["epoch"], deps or {}, list(writes), fields["reads"], fields["outcome"], ""
    )
    return msgspec.msgpack.encode(commit)


async def compacted(store, retention=ALL):
    """Compact until nothing more may go; how many entries went."""
    total = 0
    while count := await store.compact(retention):
        total += count
    return total


async def pages_of(store, size=200):
    pages, after = [], START
    while not pages or not pages[-1].done:
        pages.append(await store.snapshot(after, size))
        after = pages[-1].items[-1].place if pages[-1].items else after
    return pages


async def join(store, pages):
    for number, page in enumerate(pages):
        assert await store.stage(page, first=number == 0)
    while await store.merge_staged():
        pass


async def rows_in_snapshot(store):
    return [item.second for page in await pages_of(store) for item in page.items if item.section == ROWS]


async def contents(store):
    """The living rows, and what their history is."""
    return {row.key: (row.value, row.origin, row.seq, row.versions) for row in await store.query(span("", "~"))}


class BaseConformance:
    """Inherit and set `backend`; `backend.other()` gives the backend of another region, `us`."""

    def run(self, backend, scenario):
        asyncio.run(scenario(backend))

    # Compaction.

    def test_what_was_dropped_from_the_journal_is_still_there_and_the_sequence_goes_on(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await asyncio.gather(*(store.commit(batch(f"u{i}", put(str(i % 5), b"%d" % i))) for i in range(20)))
                before = await contents(store)
                assert await compacted(store) == 20
                assert (await store.journal({"eu/1": 20}, 100), store.floors()) == ([], {"eu/1": 20})
                assert await contents(store) == before
            async with backend.open("region") as store:
                assert (await contents(store), store.cursors(), store.floors()) == (before, {"eu/1": 20}, {"eu/1": 20})
                assert (await store.commit(batch("next", put("a")))).seq == 21

        self.run(backend, scenario)

    def test_nobody_is_served_a_journal_with_a_gap(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                for number in range(4):
                    await store.commit(batch(f"u{number}", put("a")))
                await store.compact(Retention(old=1 << 62, oldest=0, passed={"eu/1": 2}))
                assert store.floors() == {"eu/1": 2}
                assert await store.journal({"eu/1": 1}, 10) == []
                assert [commit.seq for commit in decoded(await store.journal({"eu/1": 2}, 10))] == [3, 4]

        self.run(backend, scenario)

    def test_an_entry_stays_while_it_is_young_or_a_peer_lacks_it_or_its_origin_is_held_or_a_stream_needs_it(
        self, backend
    ):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.apply([entry("us/1", seq, put("a")) for seq in (1, 2, 3, 4)], Terms())
                passed = {"us/1": 4}
                assert await compacted(store, Retention(old=0, oldest=0, passed=passed)) == 0
                assert await compacted(store, Retention(old=1 << 62, oldest=0, passed=passed, held=("us/1",))) == 0
                assert await compacted(store, Retention(old=1 << 62, oldest=0, passed={"us/1": 1})) == 1
                assert await compacted(store, Retention(old=1 << 62, oldest=0, passed=passed, needed={"us/1": 2})) == 1
                assert await compacted(store, Retention(old=3 << 20, oldest=3 << 20, needed={"us/1": 2})) == 1
                assert store.floors() == {"us/1": 3}

        self.run(backend, scenario)

    def test_at_a_damaged_entry_its_origin_and_what_depends_on_it_wait_until_another_copy_is_in_its_place(
        self, backend
    ):
        async def scenario(backend):
            async with backend.open("region") as store:
                entries = [entry("us/1", seq, put("a", b"%d" % seq)) for seq in (1, 2, 3)]
                late = entry("ap/1", 1, put("b"), deps={"us/1": 2}, stamp=9 << 20)
                await store.commit(batch("u1", put("c")))
                await store.apply([*entries, late], Terms())
                assert await compacted(store, Retention(1 << 62, 0, {"us/1": 1})) == 1
                for spoilt in (b"\xc1", entries[2]):
                    await store.repairs.replace_entries({("us/1", 2): spoilt})
                    await compacted(store)
                    assert (store.floors(), await store.repairs.torn()) == ({"us/1": 1, "eu/1": 1}, [("us/1", 2)])
                await store.repairs.replace_entries({("us/1", 2): entries[1]})
                assert await compacted(store) == 3
                assert store.floors() == {"us/1": 3, "ap/1": 1, "eu/1": 1}
                assert (await contents(store))["a"][0] == b"3"

        self.run(backend, scenario)

    def test_above_a_damaged_entry_no_deleted_row_is_forgotten_that_what_it_holds_may_be_older_than(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("gone", None)))
                await store.apply([entry("us/1", 1, put("x"), stamp=1 << 20)], Terms())
                await store.forget([Passed({}, {"eu/1": 1, "us/1": 1})], 10)
                await store.repairs.replace_entries({("us/1", 1): b"\xc1"})
                await compacted(store)
                assert await rows_in_snapshot(store) == ["gone"]

        self.run(backend, scenario)

    def test_an_entry_waits_in_the_journal_until_all_that_it_depends_on_has_gone(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                late = entry("ap/1", 1, put("b"), deps={"us/1": 2}, stamp=3 << 20)
                await store.apply([entry("us/1", 1, put("a")), entry("us/1", 2, put("a")), late], Terms())
                everything = {"ap/1": 1, "us/1": 2}
                assert await compacted(store, Retention(1 << 62, 0, everything | {"us/1": 1})) == 1
                assert store.floors() == {"us/1": 1}
                assert await compacted(store, Retention(1 << 62, 0, everything)) == 2

        self.run(backend, scenario)

    def test_a_slice_is_bounded_and_many_slices_drop_everything(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                wide = [put(str(number)) for number in range(300)]
                for number in range(4):
                    await store.commit(batch(f"u{number}", *wide))
                assert await store.compact(ALL) == 2
                assert await compacted(store) == 2

        self.run(backend, scenario)

    def test_rows_are_rebuilt_from_what_was_dropped_and_the_rest_of_the_journal(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a", b"kept", mode="active"), put("c", b"old"), epoch=1))
                assert await compacted(store) == 1
                await store.commit(batch("u2", put("a", b"late", mode="active"), put("b", mode="active"), epoch=1))
                await store.commit(batch("u3", put("c", b"any"), epoch=1))
                assert await store.set_aside([Cut(2, "eu/1", 1)]) == 1
                a, b, c = await store.read([("t", "a"), ("t", "b"), ("t", "c")])
                assert (a.value, b, c.value) == (b"kept", None, b"any")

        self.run(backend, scenario)

    def test_a_parked_commit_stays_in_the_journal_and_is_no_part_of_the_base(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                entries = [entry("us/1", seq, put("a", b"%d" % seq, mode="active"), epoch=1) for seq in (1, 2)]
                after = entry("us/1", 3, put("b", b"any"), epoch=1)
                await store.apply([*entries, after], Terms(cuts=(Cut(2, "us/1", 1),)))
                assert await compacted(store) == 3
                assert [parked.commit.seq for parked in await store.parked()] == [2]
                assert await store.set_aside([Cut(2, "us/1", 1)]) == 0
            async with backend.open("region") as store:
                late = entry("ap/1", 1, put("a", b"0"), stamp=1)
                await store.apply([late], Terms())
                assert (await contents(store))["a"][:3] == (b"1", "us/1", 1)
                assert [parked.commit.seq for parked in await store.parked()] == [2]

        self.run(backend, scenario)

    def test_a_cut_below_what_is_compacted_is_told_and_changes_nothing(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a", mode="active"), epoch=1))
                await store.commit(batch("u2", put("b"), epoch=1))
                await compacted(store)
                assert await store.set_aside([Cut(2, "eu/1", 1)]) == 0
                with pytest.raises(CutBelowFloor, match="eu/1:0"):
                    await store.set_aside([Cut(2, "eu/1", 0)])
                assert sorted(await contents(store)) == ["a", "b"]

        self.run(backend, scenario)

    def test_a_late_write_does_not_bring_back_a_row_whose_delete_is_compacted(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a")))
                await store.commit(batch("u2", put("a", None)))
                assert await store.forget([Passed({}, {"eu/1": 2})], 10) == 1
                await compacted(store, Retention(1 << 62, 0, {"eu/1": 2}))
                await store.apply([entry("us/1", 1, put("a", b"late"), stamp=1)], Terms())
                assert await contents(store) == {}

        self.run(backend, scenario)

    def test_a_deleted_row_leaves_the_snapshot_when_it_is_old_and_forgotten_and_not_before(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                for number in range(3):
                    await store.commit(batch(f"u{number}", put(str(number), None)))
                await compacted(store, Retention(1 << 62, 0, EVERYTHING))
                assert await rows_in_snapshot(store) == ["0", "1", "2"]
                await store.forget([Passed({}, {"eu/1": 2})], 10)
                await compacted(store, Retention(1 << 62, 0, EVERYTHING))
                await store.commit(batch("v1", put("x")))
                await compacted(store)
                assert await rows_in_snapshot(store) == ["2", "x"]

        self.run(backend, scenario)

    def test_an_expired_row_leaves_the_snapshot_when_it_is_old_and_forgotten_and_not_before(self, backend):
        async def scenario(backend):
            now = backend.clock.time
            async with backend.open("region") as store:
                for number in range(3):
                    await store.commit(batch(f"u{number}", put(str(number), expires_at=now + number)))
                backend.clock.time = now + 60
                await compacted(store, Retention(1 << 62, 0, EVERYTHING))
                assert await rows_in_snapshot(store) == ["0", "1", "2"]
                await store.forget([Passed({}, {"eu/1": 2})], 10, now + 60)
                await compacted(store, Retention(1 << 62, 0, EVERYTHING))
                await store.commit(batch("v1", put("x")))
                await compacted(store)
                assert await rows_in_snapshot(store) == ["2", "x"]

        self.run(backend, scenario)

    def test_stamps_go_on_rising_when_the_newest_entries_are_gone_and_the_clock_was_set_back(self, backend):
        async def scenario(backend):
            async with backend.open("region") as store:
                await store.commit(batch("u1", put("a")))
                (before,) = await store.read([("t", "a")])
                await compacted(store)
            backend.clock.time -= 3600
            async with backend.open("region") as store:
                assert store.latest_stamp() >= before.stamp
                await store.commit(batch("u2", put("a")))
                (after,) = await store.read([("t", "a")])
                assert after.stamp > before.stamp

        self.run(backend, scenario)

    # Snapshots.

    def test_a_region_that_lost_everything_joins_by_a_snapshot_and_goes_on_with_the_journal(self, backend):
        async def scenario(backend):
            other = backend.other()
            async with backend.open("region", schemas=INDEXED) as eu, other.open("region", schemas=INDEXED) as us:
                for number in range(30):
                    await eu.commit(batch(f"u{number}", put(f"{number % 20:02}", b"x%d" % number), key=f"k{number}"))
                await compacted(eu)
                await eu.commit(batch("u30", put("30", b"x30"), put("00", None)))
                await join(us, await pages_of(eu))
                assert us.cursors() == {"eu/1": 30, "us/1": 0}
                await us.apply(await eu.journal({"eu/1": 30}, 10), Terms())
                assert await contents(us) == await contents(eu)
                assert keys(await us.query(by("", "~"))) == keys(await eu.query(by("", "~")))
                assert await us.outcome("POST /x", "k7") == outcome("k7", "u7")
                assert us.floors() == eu.floors()

        self.run(backend, scenario)

    def test_a_region_that_was_away_keeps_what_nobody_has_and_loses_what_was_deleted_meanwhile(self, backend):
        async def scenario(backend):
            async with both(backend) as (eu, us):
                await eu.commit(batch("u1", put("gone"), put("both", b"old"), put("kept")))
                await us.apply(await eu.journal({"eu/1": 0}, 10), Terms())
                await us.commit(batch("v1", put("mine", b"us")))
                await eu.commit(batch("u2", put("gone", None), put("both", b"new")))
                await eu.forget([Passed({}, {"eu/1": 2})], 10)
                await compacted(eu)
                await join(us, await pages_of(eu))
                assert {key: row[0] for key, row in (await contents(us)).items()} == {
                    "both": b"new", "kept": b"v", "mine": b"us",
                }  # fmt: skip
                await eu.apply(await us.journal({"us/1": 0}, 10), Terms())
                assert await contents(eu) == await contents(us)

        self.run(backend, scenario)

    def test_a_region_that_joined_can_give_its_own_snapshot(self, backend):
        async def scenario(backend):
            async with both(backend) as (eu, us):
                await us.commit(batch("v1", put("mine")))
                await eu.commit(batch("u1", put("a"), put("b")))
                await eu.commit(batch("u2", put("a", None)))
                await compacted(eu)
                await join(us, await pages_of(eu))
                await compacted(us)
                async with backend.other("ap").open("region") as ap:
                    await join(ap, await pages_of(us))
                    assert await contents(ap) == await contents(us)
                    assert ap.cursors() == {"ap/1": 0, "eu/1": 2, "us/1": 1}

        self.run(backend, scenario)

    def test_a_snapshot_tells_of_commits_that_were_parked_and_they_do_not_show(self, backend):
        async def scenario(backend):
            async with both(backend) as (eu, us):
                entries = [entry("ap/1", seq, put("a", b"%d" % seq, mode="active"), epoch=1) for seq in (1, 2)]
                await us.apply(entries, Terms())
                await eu.apply(entries, Terms(cuts=(Cut(2, "ap/1", 1),)))
                await compacted(eu)
                await us.commit(batch("v1", put("a", b"us", versions={}), epoch=1))
                await join(us, await pages_of(eu))
                assert [parked.commit.seq for parked in await us.parked()] == [2]
                assert await us.set_aside([Cut(2, "ap/1", 1)]) == 0
                await eu.apply(await us.journal({"us/1": 0}, 10), Terms())
                assert (await contents(us))["a"][0] == b"us"

        self.run(backend, scenario)

    def test_pages_of_two_snapshots_are_not_mixed(self, backend):
        async def scenario(backend):
            async with both(backend) as (eu, us):
                for number in range(10):
                    await eu.commit(batch(f"u{number}", put(str(number))))
                await eu.compact(Retention(1 << 62, 0, {"eu/1": 5}))
                first = await eu.snapshot(START, 1)
                await compacted(eu)
                second = await eu.snapshot(first.items[-1].place, 10_000)
                assert await us.stage(first, first=True)
                assert not await us.stage(second, first=False)
                assert (us.joining, await us.merge_staged()) == (False, False)
                await join(us, await pages_of(eu))
                assert await contents(us) == await contents(eu)

        self.run(backend, scenario)

    def test_a_store_that_ends_in_the_middle_of_a_merge_goes_on_with_it(self, backend):
        async def scenario(backend):
            other = backend.other()
            async with backend.open("region") as eu:
                for number in range(3):
                    writes = [put(f"{number}-{i:03}") for i in range(300)]
                    await eu.commit(batch(f"u{number}", *writes))
                await compacted(eu)
                pages, expected = await pages_of(eu, 5_000), await contents(eu)
            merges = 0
            async with other.open("region") as us:
                for number, page in enumerate(pages):
                    await us.stage(page, first=number == 0)
            more = True
            while more:
                async with other.open("region") as us:
                    assert us.joining
                    refused = await us.commit(batch("v", put("x")))
                    assert isinstance(refused, Fenced)
                    assert await us.apply([foreign(1, origin="ap/1")], Terms()) == us.cursors()
                    more = await us.merge_staged()
                    merges += 1
            async with other.open("region") as us:
                assert (await contents(us), us.joining, merges > 5) == (expected, False, True)
                assert isinstance(await us.commit(batch("v", put("x"))), Committed)

        self.run(backend, scenario)

    def test_a_row_that_was_written_on_both_sides_is_merged(self, backend):
        async def scenario(backend):
            async with both(backend) as (eu, us):
                await us.commit(batch("v1", put("a", b"us")))
                backend.clock.time += 1
                await eu.commit(batch("u1", put("a", b"eu")))
                await compacted(eu)
                await join(us, await pages_of(eu))
                await eu.apply(await us.journal({"us/1": 0}, 10), Terms())
                assert await contents(us) == await contents(eu)
                assert (await contents(us))["a"][0] == b"eu"

        self.run(backend, scenario)

    def test_a_new_incarnation_of_a_region_gets_its_former_life_by_the_snapshot(self, backend):
        async def scenario(backend):
            async with both(backend) as (eu, us):
                former = Commit("us/0", 1, 9 << 20, 0, {}, [Write("t", "a", b"former")], [], outcome("k", "f1"), "f1")
                await eu.apply([msgspec.msgpack.encode(former)], Terms())
                await compacted(eu)
                await join(us, await pages_of(eu))
                assert (us.cursors(), (await us.outcome("POST /x", "k")).unit) == ({"us/0": 1, "us/1": 0}, "f1")
                await us.assume(Identity(2, "n"))
                assert (await us.commit(batch("v1", put("b")))).seq == 1

        self.run(backend, scenario)


@asynccontextmanager
async def both(backend):
    """The stores of two regions."""
    async with backend.open("region") as eu, backend.other().open("region") as us:
        yield eu, us
