"""After any history an index holds exactly the entries of the rows that are there."""

import asyncio
from itertools import count

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engines.conformance import INDEXED, batch, by, put, span
from proa.core.replicate.journal import Commit
from proa.core.roles import Cut
from proa.core.time import stamp_of
from proa.engines.sqlite import tables
from proa.engines.sqlite.files import in_memory
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Identity, Terms
from support.ends import ManualClock

NAMES = count()
KEYS, VALUES = st.sampled_from("abc"), st.sampled_from([b"x1", b"x2", b"y", b"-", b"?", None])
WRITES = st.dictionaries(KEYS, VALUES, min_size=1, max_size=3)
STEPS = st.lists(
    st.tuples(st.sampled_from(["eu/1", "us/1", "ap/1"]), WRITES, st.integers(-1000, 1000), st.booleans()), max_size=10
)
"""Who commits, what, how far its clock is off in milliseconds, and whether it had seen the rows as they are here."""


async def run_blocking(work):
    work()


async def act(store, clock, steps):
    seqs = {}
    for origin, writes, off_ms, saw in steps:
        clock.time += 0.01
        if origin == store.origin:
            await store.commit(batch("u", *(put(key, value, mode="active") for key, value in writes.items()), epoch=1))
            continue
        seq = seqs[origin] = seqs.get(origin, 0) + 1
        rows = await store.read([("t", key) for key in writes]) if saw else [None] * len(writes)
        stamp = stamp_of(clock.now() + off_ms / 1000)
        made = [
            put(key, value, versions=(row.versions if row else {}) | {origin: seq})
            for (key, value), row in zip(writes.items(), rows, strict=True)
        ]
        await store.apply([msgspec.msgpack.encode(Commit(origin, seq, stamp, 0, {}, made, [], None, "f"))], Terms())


async def index_and_rows(store):
    found = {(row.value.decode(), row.key) for row in await store.query(by("", "z"))}
    rows = await store.query(span("", "z"))
    return found, {(row.value.decode(), row.key) for row in rows if row.value not in (b"-", b"?")}


@given(STEPS, st.integers(0, 5))
def test_an_index_holds_the_entries_of_the_rows_that_are_there(steps, cut):
    async def scenario():
        clock = ManualClock()
        place = in_memory(f"index-{next(NAMES)}")
        store = SqliteRegionStore(place, "eu", clock, run_blocking, schemas=INDEXED)
        await store.assume(Identity(1, "nonce"))
        await act(store, clock, steps)
        found, expected = await index_and_rows(store)
        assert found == expected
        await store.set_aside([Cut(2, "eu/1", cut)])
        found, expected = await index_and_rows(store)
        assert found == expected
        await store.close()

    asyncio.run(scenario())


def test_entries_are_made_anew_slice_by_slice_and_each_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SLICE", 3)
    told = []

    def opened(schemas):
        path = tmp_path / "region.db"
        return SqliteRegionStore(
            path, "eu", ManualClock(), run_blocking, schemas=schemas, progress=lambda *slices: told.append(slices)
        )

    async def scenario():
        store = opened({})
        await store.assume(Identity(1, "nonce"))
        await store.commit(batch("u", *(put(f"{number}", b"x%d" % (number * 5 % 8)) for number in range(8))))
        await store.close()
        for _ in range(2):
            store = opened(INDEXED)
            found, expected = await index_and_rows(store)
            assert (len(found), found) == (8, expected)
            await store.close()
        assert told == [("t", 3), ("t", 6), ("t", 8)]

    asyncio.run(scenario())
