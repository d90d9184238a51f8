"""Anti-entropy between real stores: what is damaged behind a store's back is found and mended, and nothing else."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, merge
from proa.core.replicate.compaction import Retention
from proa.core.replicate.journal import Commit
from proa.core.replicate.merge import Counter
from proa.core.replicate.repair import Stretch
from proa.core.replicate.stamp import covers
from proa.core.roles import Assignment, Cut
from proa.errors import NotResident, StoreCorrupt
from proa.ports import Committed
from proa.runtime import repairer
from proa.runtime.cures import Rows
from proa.runtime.events import EntryMended, EntryTorn, RowsDiverged, TablesCompared
from proa.runtime.health import facts
from proa.runtime.records import Records
from support.inproc import system, take, until

FAR_S = 60.0


@dataclass
class Note:
    id: str
    text: str = ""
    shelf: str = "a"


@dataclass
class Tally:
    id: str
    hits: Counter


def library(regions=("eu", "us"), **options):
    app = App("library", regions=list(regions), **{"repair_every_s": 0.0} | options)
    notes = app.table("notes", Note, key="id", indexes={"shelf": "shelf"}, mode="any")
    tallies = app.table("tallies", Tally, key="id", merge=merge.fields())

    @app.put("/notes/{id}")
    async def write(id: str, note: Note) -> None:
        await notes.put(note)

    @app.delete("/notes/{id}")
    async def drop(id: str) -> None:
        await notes.delete(id)

    @app.get("/shelves/{name}")
    async def shelf(name: str) -> list[str]:
        return [note.id for note in (await notes.by("shelf").query(name)).rows]

    @app.put("/hits/{id}")
    async def hit(id: str) -> None:
        tally = await tallies.get(id, Tally(id, Counter()))
        tally.hits.add(1)
        await tallies.put(tally)

    return app


def play(folder, story, app=None):
    async def main():
        async with system(app or library(), folder) as s:
            await story(s)

    asyncio.run(main())


def passive(regions=("eu", "us")):
    app = App("passive", regions=list(regions), topology="active-passive", repair_every_s=0.0)
    notes = app.table("notes", Note, key="id")

    @app.put("/notes/{id}")
    async def write(id: str, note: Note) -> None:
        await notes.put(note)

    return app


def active_in(region, epoch, *cuts):
    roles = {name: "active" if name == region else "standby" for name in ("eu", "us")}
    return Assignment(epoch, "active-passive", roles, cuts=cuts)


async def write(s, count, region="eu", text="t"):
    for number in range(count):
        key = f"{number:05}"
        answer = await s.request(region, "PUT", f"/notes/{key}", {"id": key, "text": text})
        assert answer.status == 204
    await s.settled()


def damage(s, region, statement, *values):
    """Change a region's file behind its back."""
    with closing(sqlite3.connect(s.folder / region / "region.db")) as connection:
        assert connection.execute(statement, values).rowcount > 0
        connection.commit()


def note(text, key="00007"):
    return msgspec.msgpack.encode(Note(key, text))


FLIP = "UPDATE rows SET value = ? WHERE key = '00007'"
DROP = "DELETE FROM rows WHERE key = '00007'"


async def texts(s, key="00007"):
    """The text of a note in each region, as stored."""
    found = {}
    for region in s.regions.values():
        (row,) = await region.store.read([("notes", key)])
        found[region.name] = (
            None if row is None or row.value is None else region.app.tables["notes"].decode(row.value).text
        )
    return found


async def compare(s, asker, peer, *, mend, table="notes"):
    total, start = [], ""
    while start is not None:
        part = await s[asker].repairer.compare(peer, table, start, mend=mend)
        total, start = total + part.found, part.next
    return [(one.key[1], one.what, one.mended) for one in total]


@pytest.mark.parametrize("asker", ["eu", "us"])
@pytest.mark.parametrize(("statement", "what"), [(FLIP, "other bytes"), (DROP, "missing")])
def test_a_row_that_was_changed_or_lost_on_the_disk_is_made_anew_of_its_own_journal(tmp_path, asker, statement, what):
    async def story(s):
        await write(s, 20)
        damage(s, "us", statement, *([note("rot")] if "?" in statement else []))
        seen = what if asker == "us" or what == "other bytes" else "extra"
        peer = next(name for name in s.regions if name != asker)
        assert await compare(s, asker, peer, mend=False) == [("00007", seen, False)]
        assert await compare(s, asker, peer, mend=True) == [("00007", seen, True)]
        assert await texts(s) == {"eu": "t", "us": "t"}
        assert await compare(s, asker, peer, mend=True) == []

    play(tmp_path, story)


def test_an_older_version_of_a_row_is_replaced_by_the_newer_one(tmp_path):
    async def story(s):
        await write(s, 10, text="old")
        with closing(sqlite3.connect(s.folder / "us" / "region.db")) as connection:
            old = connection.execute("SELECT value, stamp, seq FROM rows WHERE key = '00007'").fetchone()
        await write(s, 10, text="new")
        damage(s, "us", "UPDATE rows SET value = ?, stamp = ?, seq = ? WHERE key = '00007'", *old)
        assert await compare(s, "eu", "us", mend=True) == [("00007", "newer", True)]
        assert await texts(s) == {"eu": "new", "us": "new"}

    play(tmp_path, story)


@pytest.mark.parametrize("torn", [b"\xc1 torn", note("rot")])
def test_where_the_journal_is_damaged_too_most_regions_decide(tmp_path, torn):
    async def story(s):
        await write(s, 10)
        flip(s, "us", torn)
        assert await compare(s, "eu", "us", mend=True) == [("00007", "other bytes", True)]
        assert await texts(s) == {"eu": "t", "us": "t", "ap": "t"}
        (found,) = await s["us"].store.conflicts()
        assert (found.rule, found.ours.value, found.theirs.value) == ("diverged", torn, note("t"))
        assert await s["eu"].store.conflicts() == []
        assert entry(s, "us") == entry(s, "eu")

    play(tmp_path, story, library(["eu", "us", "ap"]))


def test_of_two_regions_that_disagree_the_one_whose_row_its_table_can_read_is_right(tmp_path):
    async def story(s):
        await write(s, 10)
        flip(s, "eu", b"\xff not a note")
        assert await compare(s, "eu", "us", mend=True) == [("00007", "other bytes", True)]
        assert await texts(s) == {"eu": "t", "us": "t"}
        (found,) = await s["eu"].store.conflicts()
        assert found.rule == "diverged"

    play(tmp_path, story)


def test_of_two_regions_whose_rows_are_both_readable_the_same_one_is_chosen_whoever_asks(tmp_path):
    async def story(s):
        await write(s, 10)
        flip(s, "us", note("zzz"))
        assert await compare(s, "us", "eu", mend=True) == [("00007", "other bytes", True)]
        assert len(set((await texts(s)).values())) == 1
        noted = [record.rule for region in s.regions.values() for record in await region.store.conflicts()]
        assert noted == ["diverged"]

    play(tmp_path, story)


def flip(s, region, value):
    """Damage a row and the journal entry that it was made of, the same way."""
    damage(s, region, FLIP, value)
    with closing(sqlite3.connect(s.folder / region / "region.db")) as connection:
        [(data,)] = connection.execute("SELECT entry FROM journal WHERE seq = 8").fetchall()
        commit = msgspec.msgpack.decode(data, type=Commit)
        flipped = [msgspec.structs.replace(write, value=value) for write in commit.writes]
        broken = msgspec.msgpack.encode(msgspec.structs.replace(commit, writes=flipped))
        connection.execute("UPDATE journal SET entry = ? WHERE seq = 8", (broken,))
        connection.commit()


def entry(s, region):
    with closing(sqlite3.connect(s.folder / region / "region.db")) as connection:
        return connection.execute("SELECT entry FROM journal WHERE seq = 8").fetchone()


def test_a_torn_journal_entry_never_makes_a_row_older_while_it_is_mended(tmp_path):
    """The journal of `us` cannot read the newest write: made anew of the rest, the row would be the old one."""

    async def story(s):
        await write(s, 10, text="old")
        await write(s, 10, text="new")
        damage(s, "us", "UPDATE journal SET entry = X'C1' WHERE seq = 18")
        damage(s, "us", FLIP, note("rot"))
        put, fix = [], s["us"].store.repairs._fixed

        def watched(one, version):
            put.append(one.row.value)
            return fix(one, version)

        s["us"].store.repairs._fixed = watched
        assert await compare(s, "eu", "us", mend=True) == [("00007", "other bytes", True)]
        assert put == [note("new")]

    play(tmp_path, story)


def test_a_damaged_late_commit_is_named_and_fetched_while_the_others_are_listed(tmp_path):
    async def story(s):
        await write(s, 5)
        damage(s, "us", "UPDATE journal SET entry = X'C1' WHERE seq = 4")
        records = Records(s.app, "us", s["us"].store)
        listed = [one.dot for one in await records.lost([Cut(1, "eu/1", 2)])]
        assert (listed, [event.seq for event in told(s, EntryTorn)]) == (["eu/1:3", "eu/1:5"], [4])
        await until(lambda: told(s, EntryMended))
        listed = [one.dot for one in await records.lost([Cut(1, "eu/1", 2)])]
        assert listed == ["eu/1:3", "eu/1:4", "eu/1:5"]

    play(tmp_path, story)


def test_a_damaged_commit_that_was_set_aside_does_not_hide_the_others(tmp_path):
    async def story(s):
        take(s["eu"], active_in("eu", 1))
        await write(s, 5)
        await s["us"].store.set_aside([Cut(2, "eu/1", 2)])
        damage(s, "us", "UPDATE journal SET entry = X'C1' WHERE seq = 4")
        listed = [one.dot for one in await Records(s.app, "us", s["us"].store).lost()]
        assert (listed, [event.seq for event in told(s, EntryTorn)]) == (["eu/1:3", "eu/1:5"], [4])

    play(tmp_path, story, passive())


def test_a_commit_that_is_gone_from_the_journal_is_made_up_for_by_the_other_regions_row(tmp_path):
    async def story(s):
        await write(s, 10)
        damage(s, "us", DROP)
        damage(s, "us", "DELETE FROM journal WHERE seq = 8")
        assert await compare(s, "us", "eu", mend=True) == [("00007", "missing", True)]
        assert await texts(s) == {"eu": "t", "us": "t"}

    play(tmp_path, story)


ALL = Retention(old=1 << 62, oldest=1 << 62)


@pytest.mark.parametrize("based", [True, False], ids=["base sound", "base damaged too"])
@pytest.mark.parametrize(("statement", "what"), [(FLIP, "other bytes"), (DROP, "extra")])
def test_where_the_journal_is_compacted_its_base_tells_or_else_the_other_regions(tmp_path, statement, what, based):
    async def story(s):
        await write(s, 10)
        values = [note("rot")] if "?" in statement else []
        for region in s.regions.values():
            while await region.store.compact(ALL):
                pass
        damage(s, "us", statement, *values)
        if not based:
            damage(s, "us", statement.replace("rows", "base"), *values)
        assert await compare(s, "eu", "us", mend=True) == [("00007", what, True)]
        assert await texts(s) == {"eu": "t", "us": "t", "ap": "t"}
        kept = s["us"].store._reader.execute("SELECT value FROM base WHERE key = '00007'").fetchall()
        assert kept == [(note("t"),)]
        assert await compare(s, "us", "eu", mend=True) == []

    play(tmp_path, story, library(["eu", "us", "ap"]))


def test_a_row_that_nobody_wrote_is_taken_out(tmp_path):
    async def story(s):
        await write(s, 10)
        copy = (
            "INSERT INTO rows SELECT tbl, 'ghost', value, stamp, origin, seq, versions, version, expires_at FROM rows"
        )
        damage(s, "us", copy + " WHERE key = '00007'")
        assert await compare(s, "eu", "us", mend=True) == [("ghost", "missing", True)]
        assert await s["us"].store.read([("notes", "ghost")]) == [None]

    play(tmp_path, story)


def test_a_deleted_row_that_reappears_is_deleted_again_although_its_tombstone_may_be_gone(tmp_path):
    async def story(s):
        await write(s, 10)
        with closing(sqlite3.connect(s.folder / "us" / "region.db")) as connection:
            row = connection.execute("SELECT * FROM rows WHERE key = '00007'").fetchone()
        await s.request("eu", "DELETE", "/notes/00007")
        await s.settled()
        damage(s, "eu", DROP)  # as if it had forgotten the tombstone
        damage(s, "us", "REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)
        assert await compare(s, "eu", "us", mend=True) == [("00007", "missing", True)]
        assert await texts(s) == {"eu": None, "us": None}

    play(tmp_path, story)


def test_index_entries_are_right_after_a_repair(tmp_path):
    async def story(s):
        await write(s, 10)
        damage(s, "us", FLIP, note("rot")[:-2] + b"\xa1z")
        damage(s, "us", "UPDATE indexed SET entry = replace(entry, 'a', 'q') WHERE key = '00007'")
        await compare(s, "eu", "us", mend=True)
        answers = [await s.request(region, "GET", "/shelves/a") for region in s.regions]
        assert (answers[0].status, answers[0].body) == (200, answers[1].body)
        count = s["us"].store._reader.execute("SELECT count(*) FROM indexed WHERE key = '00007'").fetchone()
        assert count == (1,)

    play(tmp_path, story)


def test_a_merged_row_that_was_damaged_counts_what_it_had_counted(tmp_path):
    async def story(s):
        s.links.cut |= {("us", "eu"), ("eu", "us")}
        for region in s.regions.values():
            while any(peer.reachable for peer in region.replicator.peers.values()):
                await asyncio.sleep(0.01)
            await s.request(region.name, "PUT", "/hits/h")
        s.links.cut.clear()
        await s.settled()
        damage(s, "us", "UPDATE rows SET value = X'80' WHERE tbl = 'tallies'")
        assert await compare(s, "eu", "us", mend=True, table="tallies") == [("h", "other bytes", True)]
        (row,) = await s["us"].store.read([("tallies", "h")])
        assert s.app.tables["tallies"].decode(row.value).hits.value == 2

    play(tmp_path, story)


def test_a_damaged_row_does_not_stop_replication_of_what_is_merged_into_it(tmp_path):
    async def story(s):
        await s.request("eu", "PUT", "/hits/h")
        await s.settled()
        s.links.cut |= {("us", "eu"), ("eu", "us")}
        for region in s.regions.values():
            while any(peer.reachable for peer in region.replicator.peers.values()):
                await asyncio.sleep(0.01)
            await s.request(region.name, "PUT", "/hits/h")
        damage(s, "us", "UPDATE rows SET value = X'C1' WHERE tbl = 'tallies'")
        s.links.cut.clear()
        await s.settled()
        for region in s.regions.values():
            (row,) = await region.store.read([("tallies", "h")])
            assert s.app.tables["tallies"].decode(row.value).hits.value == 3

    play(tmp_path, story)


def test_a_unit_that_read_a_row_before_it_was_mended_runs_again(tmp_path):
    async def story(s):
        await write(s, 10)
        damage(s, "us", FLIP, note("rot"))
        (before,) = await s["us"].store.read([("notes", "00007")])
        await compare(s, "us", "eu", mend=True)
        (after,) = await s["us"].store.read([("notes", "00007")])
        assert after.version > before.version

    play(tmp_path, story)


def test_rows_in_motion_are_no_divergence(tmp_path):
    async def story(s):
        await write(s, 10)
        s.links.cut |= {("us", "eu")}  # `us` pulls nothing; `eu` still asks
        await s.request("eu", "PUT", "/notes/00007", {"id": "00007", "text": "moving"})
        assert await compare(s, "eu", "us", mend=True) == []
        s.links.cut.clear()
        await s.settled()
        assert await texts(s) == {"eu": "moving", "us": "moving"}

    play(tmp_path, story)


def test_what_one_side_has_set_aside_and_the_other_not_yet_is_no_divergence(tmp_path):
    async def story(s):
        for region in s.regions.values():
            region.assume(active_in("eu", 1), s.clock.monotonic() + FAR_S)
        await write(s, 3)
        s["us"].assume(active_in("us", 2, Cut(2, "eu/1", 1)), s.clock.monotonic() + FAR_S)
        while not await s["us"].store.parked():
            await asyncio.sleep(0.01)
        for asker, peer in (("eu", "us"), ("us", "eu")):
            assert await compare(s, asker, peer, mend=True) == []
        assert [len(await s[region].store.parked()) for region in ("eu", "us")] == [0, 2]

    play(tmp_path, story, passive())


def test_the_background_round_finds_mends_and_tells(tmp_path):
    async def story(s):
        await write(s, 10)
        damage(s, "us", FLIP, note("rot"))
        damage(s, "eu", "DELETE FROM rows WHERE key = '00003'")

        def told():
            return [event for event in s.events if isinstance(event, RowsDiverged)]

        async with asyncio.timeout(10):
            while sum(event.mended for event in told()) < 2:
                await asyncio.sleep(0.01)
        assert [await texts(s, key) for key in ("00003", "00007")] == [{"eu": "t", "us": "t"}] * 2
        assert (sum(event.found for event in told()), [event.left for event in told() if event.left]) == (2, [])
        count = len(s.events)
        async with asyncio.timeout(10):
            while not (rounds := [event for event in s.events[count:] if isinstance(event, TablesCompared)]):
                await asyncio.sleep(0.01)
        assert rounds[-1].rows == 10
        assert 'proa_repair_rows_mended_total{region="eu",peer="us"} 2' in s["eu"].metrics.text()

    play(tmp_path, story, library(repair_every_s=0.05))


def test_a_background_round_over_units_that_go_on_touches_nothing(tmp_path):
    async def story(s):
        fixes = []
        for region in s.regions.values():
            region.store.repairs._fixed = lambda *_: fixes.append(_)

        async def busy(region, number):
            key = f"{number % 7:05}"
            body = {"id": key, "text": f"{region} {number}"}
            assert (await s.request(region, "PUT", f"/notes/{key}", body)).status == 204
            assert (await s.request(region, "PUT", f"/hits/{key}")).status == 204

        async def stream(region):
            for number in range(150):
                await busy(region, number)

        await asyncio.gather(stream("eu"), stream("us"))
        await s.settled()
        assert fixes == []
        assert [event for event in s.events if isinstance(event, RowsDiverged)] == []
        assert len([event for event in s.events if isinstance(event, TablesCompared)]) > 1

    play(tmp_path, story, library(repair_every_s=0.01))


def test_equal_rows_cost_little_to_compare_and_one_that_differs_not_much_more(tmp_path):
    async def story(s):
        await fill(s, 20_000)
        equal = await exchanged(s)
        damage(s, "us", "UPDATE rows SET value = ? WHERE key = '0010000'", note("rot", "0010000"))
        assert equal < 20_000 * 1_048_576 / 100_000
        assert await exchanged(s) < equal + 10_000

    play(tmp_path, story)


async def fill(s, count):
    """Rows in both regions without a unit for each."""
    from proa.core.replicate.journal import Write
    from proa.ports import Batch

    for begin in range(0, count, 1000):
        writes = [Write("notes", f"{n:07}", note("t", f"{n:07}")) for n in range(begin, begin + 1000)]
        assert isinstance(await s["eu"].store.commit(Batch(f"fill {begin}", {}, writes)), Committed)
    await s.settled()


async def exchanged(s):
    total, start = 0, ""
    while start is not None:
        part = await s["eu"].repairer.compare("us", "notes", start, mend=False)
        total, start = total + part.exchanged, part.next
    return total


def test_rows_that_only_some_regions_may_hold_are_compared_between_those_alone(tmp_path):
    app = App("clinic", regions=["eu", "us", "ap"], repair_every_s=0.0)
    people = app.table("people", Note, key="id", residency=["eu", "ap"])

    @app.put("/people/{id}")
    async def write(id: str, person: Note) -> None:
        await people.put(person)

    async def story(s):
        for number in range(10):
            key = f"{number:05}"
            assert (await s.request("eu", "PUT", f"/people/{key}", {"id": key, "text": "t"})).status == 204
        await s.settled()
        (part,) = app.schemas(strong=False)
        damage(s, "ap", FLIP, note("rot"))
        assert await compare(s, "eu", "ap", mend=True, table=part) == [("00007", "other bytes", True)]
        with pytest.raises(NotResident):
            await s["eu"].repairer.compare("us", part, mend=True)
        asked = msgspec.msgpack.encode([Stretch(part, "", None, 0.0, 10)])
        with pytest.raises(NotResident):
            await s["eu"].methods()["repair.sums"]("us", asked)
        with pytest.raises(NotResident):
            await s["eu"].methods()["repair.rows"]("us", msgspec.msgpack.encode(Rows([(part, "00007")], [])))
        sent = await s["eu"].methods()["repair.commits"]("us", msgspec.msgpack.encode([("eu/1", 8)]))
        assert b"00007" not in sent
        assert b"00007" in await s["eu"].methods()["repair.commits"]("ap", msgspec.msgpack.encode([("eu/1", 8)]))

    play(tmp_path, story, app)


# Entries of the journal that cannot be read.


def rot(folder, region, dot):
    """Flip bytes of an entry of the journal in the region's file, which nobody has open."""
    path = folder / region / "region.db"
    with closing(sqlite3.connect(path)) as connection:
        [(entry,)] = connection.execute("SELECT entry FROM journal WHERE origin = ? AND seq = ?", dot).fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    assert data.count(entry) == 1
    at = data.index(entry)
    path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF, data[at + 1] ^ 0xFF]) + data[at + 2 :])


def told(s, kind):
    return [event for event in s.events if isinstance(event, kind)]


async def restarted(s, region, dot):
    """A region that comes up on a disk on which an entry was flipped."""
    await s.stop(region)
    rot(s.folder, region, dot)
    return await s.start(region)


@pytest.mark.parametrize("seq", [1, 3], ids=["in the history of a row", "among the commits that came too late"])
def test_an_entry_that_rotted_on_the_disk_is_named_by_what_needs_it_until_a_peer_has_given_its_copy(
    tmp_path, monkeypatch, seq
):
    monkeypatch.setattr(repairer, "MEND_EVERY_S", 0.2)

    async def story(s):
        for region in s.regions.values():
            region.assume(active_in("eu", 1), s.clock.monotonic() + FAR_S)
        await write(s, 4)
        s.links.cut |= {("us", "eu"), ("us", "ap")}
        us = await restarted(s, "us", ("eu/1", seq))
        cut = Cut(2, "eu/1", 1)
        with pytest.raises(StoreCorrupt, match=f"entry eu/1:{seq} does not decode"):
            await us.store.set_aside([cut])
        assert facts(us)["store"] == f"eu/1:{seq} in the journal cannot be read"
        assert [row.value for row in await us.store.read([("notes", "00003")])] == [note("t", "00003")]
        s.links.cut.clear()
        await until(lambda: told(s, EntryMended))
        assert [(event.origin, event.seq) for event in told(s, EntryTorn)] == [("eu/1", seq)]
        assert "store" not in facts(us)
        assert await us.store.set_aside([cut]) == 3
        assert await us.store.read([("notes", "00003")]) == [None]

    play(tmp_path, story, passive(["eu", "us", "ap"]))


@pytest.mark.parametrize("region", ["eu", "us"], ids=["its own", "a peer's"])
def test_a_region_whose_newest_entry_rotted_starts_names_it_and_has_it_mended(tmp_path, region):
    async def story(s):
        await write(s, 3)
        before = s[region].store.latest_stamp()
        started = await restarted(s, region, ("eu/1", 3))
        assert started.store.latest_stamp() >= before
        await until(lambda: told(s, EntryMended))
        assert [(event.origin, event.seq) for event in told(s, EntryTorn)] == [("eu/1", 3)]
        assert started.store.damaged == ""
        await write(s, 4, text="after")
        assert await texts(s, "00002") == {"eu": "after", "us": "after"}

    play(tmp_path, story)


def test_what_a_region_cannot_read_of_a_peers_journal_the_peer_fetches_again(tmp_path):
    async def story(s):
        s.links.cut |= {("ap", "eu"), ("ap", "us"), ("eu", "ap"), ("us", "ap")}
        await write_in(s, ["eu", "us"])
        eu = await restarted(s, "eu", ("eu/1", 2))
        s.links.cut -= {("ap", "eu"), ("eu", "ap")}
        await until(lambda: told(s, EntryMended))
        await until(lambda: s["ap"].store.cursors().get("eu/1") == eu.store.head)
        assert [(event.origin, event.seq, event.peer) for event in told(s, EntryMended)] == [("eu/1", 2, "us")]
        s.links.cut.clear()
        await s.settled()
        assert await texts(s, "00001") == dict.fromkeys(["eu", "us", "ap"], "t")

    play(tmp_path, story, library(["eu", "us", "ap"]))


async def write_in(s, regions):
    """Rows of the first of these regions, known to all of them."""
    first, *others = regions
    for number in range(3):
        await s.request(first, "PUT", f"/notes/{number:05}", {"id": f"{number:05}", "text": "t"})
    await until(lambda: all(covers(s[one].store.cursors(), s[first].store.cursors()) for one in others))
