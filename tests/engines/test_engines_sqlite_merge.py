"""Rows that one origin writes are put without a look at what is there; the result is what `resolve` would make."""

import asyncio
from itertools import count

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engines.conformance import batch, put
from proa.core.replicate.journal import Commit, incoming
from proa.core.replicate.merge import LastWriter, resolve
from proa.core.replicate.stamp import join
from proa.core.time import stamp_of
from proa.engines.sqlite.files import in_memory
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Identity, Terms
from support.ends import ManualClock

NAMES = count()
KEY = ("t", "a")
WRITES = st.lists(
    st.tuples(st.sampled_from(["eu/1", "us/1", "ap/1"]), st.booleans(), st.integers(-1000, 1000)), max_size=12
)
"""Who writes the row, whether it had seen the row as it is here, and how far its clock is off, in milliseconds."""


async def run_blocking(work):
    work()


class Writers:
    """The other regions: what each has seen of the row, and its sequence."""

    def __init__(self):
        self.seen = {}
        self.seqs = {}

    def commit(self, origin, current, stamp):
        seq = self.seqs[origin] = self.seqs.get(origin, 0) + 1
        versions = join(self.seen.get(origin, {}), current) | {origin: seq}
        self.seen[origin] = versions
        write = put("a", f"{origin} {seq}".encode(), versions=versions if len(versions) > 1 else {})
        return Commit(origin, seq, stamp, 0, {}, [write], [], None, f"{origin} {seq}")


async def row_and_expected(writes):
    """The row at the end, and what the merge of all writes makes of it."""
    clock, writers, expected = ManualClock(), Writers(), None
    store = SqliteRegionStore(in_memory(f"merge-{next(NAMES)}"), "eu", clock, run_blocking)
    await store.assume(Identity(1, "nonce"))
    for origin, saw, off_ms in writes:
        clock.time += 0.01
        if origin == store.origin:
            await store.commit(batch("u", put("a")))
            (row,) = await store.read([KEY])
            seen = expected.versions if expected else {}
            expected = msgspec.structs.replace(row, versions=seen | {origin: store.head})
        else:
            current = expected.versions if expected and saw else {}
            commit = writers.commit(origin, current, stamp_of(clock.now() + off_ms / 1000))
            await store.apply([msgspec.msgpack.encode(commit)], Terms())
            expected, _ = resolve(LastWriter(), expected, incoming(commit, commit.writes[0], 0))
    (row,) = await store.read([KEY])
    await store.close()
    return row, expected


@given(WRITES)
def test_a_row_is_what_the_merge_of_all_its_writes_makes_of_it(writes):
    row, expected = asyncio.run(row_and_expected(writes))
    assert unversioned(row) == unversioned(expected)


def unversioned(row):
    """A row without the version that is the store's own."""
    return row and msgspec.structs.replace(row, version=0)


def merged(*commits):
    """The row that a store makes of commits, taken in this order whatever they depend on."""

    async def scenario():
        store = SqliteRegionStore(in_memory(f"merge-{next(NAMES)}"), "eu", ManualClock(), run_blocking)
        for version, commit in enumerate(commits):
            store._merging.row(incoming(commit, commit.writes[0], version))
        (row,) = await store.read([KEY])
        await store.close()
        return row

    return asyncio.run(scenario())


def test_an_earlier_write_of_the_same_origin_does_not_come_back():
    writers = Writers()
    first, second = writers.commit("us/1", {}, 1), writers.commit("us/1", {}, 2)
    assert merged(second, first).value == b"us/1 2"


def test_a_write_over_a_row_that_was_set_aside_here_keeps_what_it_had_seen():
    assert merged(Writers().commit("us/1", {"ap/1": 4}, 1)).versions == {"ap/1": 4, "us/1": 1}
