"""Merging fields in real stores: regions that exchange commits in any order hold what the merge of all writes makes."""

import asyncio
from dataclasses import dataclass, field
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.conformance import batch, decoded, put
from proa.core.replicate import merge
from proa.core.replicate.journal import incoming
from proa.core.replicate.merge import declared, resolve
from proa.core.replicate.tombstones import Passed, heard
from proa.core.roles import Cut
from proa.declare.codec import RowCodec
from proa.engines.sqlite.files import in_memory
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Committed, Identity, Terms
from support.ends import ManualClock

NAMES = count()
REGIONS = ("ap", "eu", "us")
KEYS = ("a", "b")


@dataclass
class Game:
    id: str
    score: merge.Counter = field(default_factory=merge.Counter)
    players: merge.AddWinsSet[str] = field(default_factory=merge.AddWinsSet[str])


CODEC = RowCodec(Game)
POLICIES = {"fields": declared(merge.fields(), CODEC), "last_writer": merge.last_writer()}


async def run_blocking(work):
    work()


class Town:
    """Regions with stores of their own, and what each knows of its peers."""

    def __init__(self):
        self.clock = ManualClock()
        self.stores = {}
        self.known = {name: dict.fromkeys(set(REGIONS) - {name}, Passed()) for name in REGIONS}
        self.units = count()

    async def __aenter__(self):
        for name in REGIONS:
            file = in_memory(f"crdt-{next(NAMES)}")
            store = SqliteRegionStore(file, name, self.clock, run_blocking, merges=POLICIES)
            await store.assume(Identity(1, "nonce"))
            self.stores[name] = store
        return self

    async def __aexit__(self, *_):
        for store in self.stores.values():
            await store.close()

    async def change(self, name, table, key, change, lasts_s=None):
        """One unit that reads a row and writes what `change` makes of it, to be there so long."""
        store = self.stores[name]
        self.clock.time += 0.001
        (row,) = await store.read([(table, key)])
        game = CODEC.decode(row.value) if row and row.alive(self.clock.time) else None
        value = change(game)
        reads = {(table, key): row.version if row else 0}
        expires_at = None if lasts_s is None or value is None else self.clock.time + lasts_s
        written = put(key, value and CODEC.encode(value), table=table, expires_at=expires_at)
        assert isinstance(await store.commit(batch(f"u{next(self.units)}", written, reads=reads)), Committed)

    async def pull(self, name, peer, limit=1000):
        """`name` asks `peer`, which hears by it what `name` has."""
        ours, theirs = self.stores[name], self.stores[peer]
        cursors = ours.cursors()
        self.known[peer][name] = heard(self.known[peer][name], cursors, theirs.cursors())
        after = {origin: cursors.get(origin, 0) for origin in theirs.cursors() if origin != ours.origin}
        await ours.apply(await theirs.journal(after, limit), Terms())

    async def forget(self, name):
        return await self.stores[name].forget(list(self.known[name].values()), 10, self.clock.time)

    async def converge(self):
        for _ in range(2):
            for name in REGIONS:
                for peer in REGIONS:
                    if peer != name:
                        await self.pull(name, peer)

    async def rows(self, name, table):
        now = self.clock.time
        return {key: visible(row, now) for key, row in zip(KEYS, await self.read(name, table), strict=True)}

    async def read(self, name, table):
        return await self.stores[name].read([(table, key) for key in KEYS])

    async def commits(self, name):
        """All commits that a region has, in a causal order."""
        store = self.stores[name]
        entries = await store.journal(dict.fromkeys(store.cursors(), 0), 10_000)
        return sorted(decoded(entries), key=lambda commit: commit.stamp)


def visible(row, now):
    """What readers, and regions to come, learn from a row; nothing of one that is deleted or has expired."""
    return msgspec.structs.replace(row, version=0, versions={}) if row and row.alive(now) else None


def made(commits, table, now):
    """What the merge of all writes makes of each row, tombstones and expired ones and all."""
    rows = dict.fromkeys(KEYS)
    for commit in commits:
        for write in commit.writes:
            if write.table == table:
                theirs = incoming(commit, write, 0)
                rows[write.key], _ = resolve(POLICIES[table], rows[write.key], theirs, commit.seen)
    return {key: visible(row, now) for key, row in rows.items()}


def joins(player):
    def change(game):
        game = game or Game("g")
        game.score.add(1)
        game.players.add(player)
        return game

    return change


def leaves(player):
    def change(game):
        game = game or Game("g")
        game.players.discard(player)
        return game

    return change


def deletes(_):
    return None


CHANGES = st.one_of(
    st.sampled_from("xyz").map(joins), st.sampled_from("xyz").map(leaves), st.just(deletes), st.just(deletes)
)
REGION = st.sampled_from(REGIONS)
LASTS_S = st.sampled_from([None, None, 0.001, 0.003])
CHANGE = (REGION, st.sampled_from(sorted(POLICIES)), st.sampled_from(KEYS), CHANGES, LASTS_S)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), *CHANGE),
        st.tuples(st.just("pull"), REGION, REGION, st.integers(1, 4)),
        st.tuples(st.just("converge")),
        st.tuples(st.just("forget"), REGION),
    ),
    max_size=25,
)


async def take(town, steps):
    for step, *arguments in steps:
        if step != "pull" or arguments[0] != arguments[1]:
            await getattr(town, step)(*arguments)


@settings(max_examples=60)
@given(STEPS)
def test_regions_end_with_what_the_merge_of_all_writes_makes_whatever_they_forgot_meanwhile(steps):
    async def scenario():
        async with Town() as town:
            await take(town, steps)
            await town.converge()
            expected = {table: made(await town.commits("eu"), table, town.clock.time) for table in POLICIES}
            for name in REGIONS:
                assert {table: await town.rows(name, table) for table in POLICIES} == expected

    asyncio.run(scenario())


def in_town(scenario):
    async def main():
        async with Town() as town:
            await scenario(town)

    asyncio.run(main())


async def absent(town, name, table="fields"):
    """Which keys have neither a row nor a tombstone."""
    return [key for key, row in zip(KEYS, await town.read(name, table), strict=True) if row is None]


def test_a_tombstone_goes_once_every_region_has_passed_it():
    async def scenario(town):
        await town.change("eu", "fields", "a", joins("x"))
        await town.converge()
        await town.change("eu", "fields", "a", deletes)
        await town.pull("us", "eu")
        assert (await town.forget("eu"), await absent(town, "eu")) == (0, ["b"])
        for _ in range(2):
            await town.converge()
        assert (await town.forget("eu"), await absent(town, "eu")) == (1, ["a", "b"])
        assert await town.forget("eu") == 0

    in_town(scenario)


@pytest.mark.parametrize("table", POLICIES)
def test_a_row_made_anew_where_its_tombstone_is_gone_replaces_it_where_it_is_not(table):
    async def scenario(town):
        await town.change("eu", table, "a", joins("x"))
        await town.converge()
        await town.change("us", table, "a", deletes)
        for _ in range(3):
            await town.converge()
        assert await town.forget("eu") == 1
        await town.change("eu", table, "a", joins("y"))
        await town.converge()
        rows = [await town.rows(name, table) for name in REGIONS]
        assert rows[0] == rows[1] == rows[2]
        game = CODEC.decode(rows[0]["a"].value)
        assert (list(game.players), game.score.value) == (["y"], 1)
        assert [await store.conflicts() for store in town.stores.values()] == [[], [], []]

    in_town(scenario)


@pytest.mark.parametrize("table", POLICIES)
def test_a_row_made_anew_where_an_expired_one_is_gone_replaces_it_where_it_is_not(table):
    async def scenario(town):
        await town.change("us", table, "a", joins("x"), lasts_s=0.001)
        for _ in range(3):
            await town.converge()
        town.clock.time += 0.002
        assert await town.forget("eu") == 1
        await town.change("eu", table, "a", joins("y"))
        await town.converge()
        rows = [await town.rows(name, table) for name in REGIONS]
        assert rows[0] == rows[1] == rows[2]
        game = CODEC.decode(rows[0]["a"].value)
        assert (list(game.players), game.score.value) == (["y"], 1)
        assert [await store.conflicts() for store in town.stores.values()] == [[], [], []]
        versions = [(await town.read(name, table))[0].versions for name in REGIONS]
        assert versions == [versions[0]] * 3

    in_town(scenario)


@pytest.mark.parametrize(("table", "alive"), [("fields", True), ("last_writer", False)])
def test_a_write_from_a_disk_that_was_thought_lost_meets_the_delete_although_its_tombstone_is_gone(table, alive):
    async def scenario(town):
        await town.change("eu", table, "a", joins("x"))
        await town.converge()
        await town.change("us", table, "a", joins("y"))  # nobody else has it
        await town.change("eu", table, "a", deletes)
        await town.pull("ap", "eu")
        everything = Passed({}, town.stores["eu"].cursors())
        assert await town.stores["eu"].forget([everything], 10) == 1
        await town.converge()
        for name in REGIONS:
            assert ((await town.rows(name, table))["a"] is not None) is alive

    in_town(scenario)


def test_rows_of_a_suffix_that_is_set_aside_are_what_the_commits_that_stand_make_of_them():
    async def scenario(town):
        await town.change("eu", "fields", "a", joins("x"))
        await town.converge()
        fenced = put("a", b"active", table="roles", mode="active")
        (row,) = await town.stores["eu"].read([("fields", "a")])
        counted = put("a", CODEC.encode(joins("y")(CODEC.decode(row.value))), table="fields")
        await town.stores["eu"].commit(batch("late", fenced, counted))
        await town.change("us", "fields", "a", joins("z"))
        await town.pull("eu", "us")
        assert await town.stores["eu"].set_aside((Cut(2, "eu/1", 1),)) == 1
        await town.pull("ap", "us")
        eu, ap = [(await town.rows(name, "fields"))["a"] for name in ("eu", "ap")]
        assert eu == ap
        game = CODEC.decode(eu.value)
        assert (sorted(game.players), game.score.value) == (["x", "z"], 2)

    in_town(scenario)


def test_a_function_that_raises_is_told_of_and_stands_in_the_conflict_log():
    def picky(one, other):
        raise ZeroDivisionError

    async def scenario(town):
        store, told = town.stores["eu"], []
        store._in.merges["picky"] = declared(merge.function(picky), RowCodec(Plain))
        store.listeners.merge_raised = told.append
        for name in ("eu", "us"):
            written = put("a", RowCodec(Plain).encode(Plain(name)), table="picky")
            await town.stores[name].commit(batch(name, written))
        await town.pull("eu", "us")
        rule = "last_writer, since picky raised ZeroDivisionError"
        assert [record.rule for record in told] == [rule]
        assert [record.rule for record in await store.conflicts()] == [rule]

    in_town(scenario)


@dataclass
class Plain:
    id: str
