"""Snapshots of the global store: their age, who asks, and how much is kept."""

import asyncio

import pytest

from proa.core.replicate.journal import Row
from proa.errors import GlobalStoreUnreachable, StaleRead
from proa.ports import Span, View
from proa.runtime.snapshots import Snapshots
from support.ends import ManualClock

A, B = ("stock", "a"), ("stock", "b")
SPAN = Span("stock", ("", "a"), ("", "z"), 10, now=5.0)


class Store:
    """Answers when it is let; each answer is of the next revision."""

    def __init__(self, clock):
        self.clock = clock
        self.asked = []
        self.revision = 0
        self.takes_s = 0.0
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.expires_at = None

    async def view(self, keys, span=None):
        self.asked.append(span or tuple(keys))
        await self.gate.wait()
        self.clock.time += self.takes_s
        if self.away:
            raise GlobalStoreUnreachable("gone")
        self.revision += 1
        wanted = [A, B] if span else keys
        return View(self.revision, [self._row(*key) for key in wanted])

    def _row(self, table, key):
        return Row(table, key, b"x" * 100, 1, "global/1", 1, {}, self.revision, self.expires_at)


def run(scenario, **options):
    async def main():
        clock = ManualClock(100.0)
        store = Store(clock)
        await scenario(Snapshots(store, clock, **options), store, clock)

    asyncio.run(main())


def test_the_age_of_a_snapshot_counts_from_before_its_question_left():
    async def scenario(snapshots, store, clock):
        store.takes_s = 3.0
        await snapshots.read([A], 5)
        clock.time += 2.0
        assert (await snapshots.read([A], 5))[0].revision == 1
        clock.time += 0.1
        assert (await snapshots.read([A], 5))[0].revision == 2

    run(scenario)


def test_all_who_miss_a_row_at_once_ask_for_it_once():
    async def scenario(snapshots, store, _):
        store.gate.clear()
        reads = [asyncio.ensure_future(snapshots.read([A], 5)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reads[0].cancel()
        store.gate.set()
        found = await asyncio.gather(*reads, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert [each[0].revision for each in found[1:]] == [1] * 19
        assert store.asked == [(A,)]

    run(scenario)


def test_who_may_not_wait_for_an_older_question_asks_anew():
    async def scenario(snapshots, store, clock):
        store.gate.clear()
        first = asyncio.ensure_future(snapshots.read([A], 5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.time += 1.0
        second = asyncio.ensure_future(snapshots.read([A], 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        store.gate.set()
        assert [(await each)[0].asked_at for each in (first, second)] == [100.0, 101.0]
        assert store.asked == [(A,), (A,)]

    run(scenario)


def test_what_several_rows_lack_is_asked_in_one_call():
    async def scenario(snapshots, store, _):
        await snapshots.read([A], 5)
        await snapshots.read([A, B, ("stock", "c")], 5)
        assert store.asked == [(A,), (B, ("stock", "c"))]

    run(scenario)


def test_a_session_is_shown_nothing_below_its_revision():
    async def scenario(snapshots, store, _):
        await snapshots.read([A], 5)
        assert (await snapshots.read([A], 5, revision=1))[0].revision == 1
        assert (await snapshots.read([A], 5, revision=2))[0].revision == 2
        assert (await snapshots.read([A], 5, revision=9_999))[0].revision == 3  # a forged token costs a question
        assert (await snapshots.read([A], 5))[0].revision == 3

    run(scenario)


def test_without_the_store_what_is_new_enough_is_served_and_the_rest_refused_with_its_age():
    async def scenario(snapshots, store, clock):
        await snapshots.read([A], 5)
        store.away = True
        clock.time += 4.0
        assert (await snapshots.read([A], 5))[0].revision == 1
        with pytest.raises(StaleRead, match=r"stock 'a' is 4.0 s old here; the read allows 3 s \(gone\)"):
            await snapshots.read([A], 3)
        with pytest.raises(StaleRead, match="stock 'b' is not kept here"):
            await snapshots.read([A, B], 5)

    run(scenario)


def test_a_page_is_kept_until_a_row_of_it_expires():
    async def scenario(snapshots, store, clock):
        store.expires_at = 102.0
        await snapshots.query(SPAN, 60)
        assert (await snapshots.query(SPAN, 60)).revision == 1
        clock.time = 103.0
        store.expires_at = None
        assert (await snapshots.query(SPAN, 60)).revision == 2

    run(scenario)


def test_memory_is_bounded_and_what_was_used_last_stays():
    async def scenario(snapshots, store, _):
        for number in range(100):
            await snapshots.read([("stock", str(number))], 5)
            await snapshots.read([A], 5)
        assert snapshots.bytes <= 4_000
        assert sum(asked == (A,) for asked in store.asked) == 1
        store.asked.clear()
        await snapshots.read([("stock", "0")], 5)
        assert store.asked == [(("stock", "0"),)]

    run(scenario, bytes_max=4_000)
