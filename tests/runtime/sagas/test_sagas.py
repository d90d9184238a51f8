"""Sagas on real stores: each step is done once, what fails is undone, what waits is woken."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from proa import App
from proa.core.policy.retry import Retry
from proa.core.saga import SAGAS, STEPS
from proa.declare.effects import EffectKey, effect_key
from proa.declare.sagas import Saga
from proa.errors import SagaCancelled, SignalTimedOut, StepFailed, StoreFull
from proa.runtime.events import SagaEnded, SagaStuck
from proa.runtime.sagas import journey
from proa.runtime.sagas.desk import SagasDesk
from support.inproc import everybody, system, take, until

REGIONS = ["eu", "us"]
QUICK = Retry(attempts=3, base_s=0.01)


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Held:
    id: str
    by: str


@dataclass
class Told:
    """What happens to a saga's steps: the calls that were made, and what goes wrong."""

    calls: list
    fails: dict

    def of(self, name):
        self.calls.append(name)
        if errors := self.fails.get(name):
            raise errors.pop(0)


class Shop:
    """An app whose saga is given by the test."""

    def __init__(self):
        self.told = Told([], {})
        self.app = app = App("shop", regions=REGIONS)
        self.held = app.table("held", Held, key="id")
        self.stock = app.table("stock", Order, key="id", mode="strong")
        self.saga = None

        @app.post("/start")
        async def start(order: Order) -> str:
            return await self.saga.start(order, id=order.id)

        @app.post("/signal")
        async def signal(order: Order) -> None:
            await self.saga.signal(order.id, "approved", order)

        @app.get("/held/{id}")
        async def read(id: str) -> Held:
            return await self.held.get(id, Held(id, ""))

    def step(self, name):
        """A step that holds something under its name."""

        async def work(order: Order) -> Held:
            self.told.of(name)
            held = Held(f"{name} {order.id}", name)
            await self.held.put(held)
            return held

        work.__name__ = name
        return work

    def undo(self, name):
        async def work(order: Order) -> None:
            self.told.of(f"un{name}")
            await self.held.delete(f"{name} {order.id}")

        work.__name__ = f"un{name}"
        return work


@asynccontextmanager
async def running(shop, folder):
    async with system(shop.app, folder) as s:
        for region in s.regions.values():
            take(region, everybody())
        yield s


def ended(s, id="eu:1"):
    return next((one for one in s.events if isinstance(one, SagaEnded) and one.id == id), None)


def stuck(s):
    return next((one for one in s.events if isinstance(one, SagaStuck)), None)


async def start(s, id="eu:1", region="eu"):
    assert (await s.request(region, "POST", "/start", Order(id))).status == 200


def test_the_steps_of_a_saga_are_each_done_once_in_order(tmp_path):
    shop = Shop()
    one, two = shop.step("one"), shop.step("two")

    @shop.app.saga(name="travel")
    async def travel(saga: Saga, order: Order) -> str:
        held = await saga.step(one, order)
        other = await saga.step(two, order)
        return f"{held.by} {other.by}"

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            await start(s)
            end = await until(lambda: ended(s))
            assert (end.status, shop.told.calls) == ("done", ["one", "two"])
            await s.settled()
            answer = await s.request("us", "GET", "/held/two eu:1")
            assert msgspec.json.decode(answer.body)["by"] == "two"

    asyncio.run(main())


def test_a_step_that_fails_is_tried_again_and_then_what_was_done_is_undone_in_reverse(tmp_path):
    shop = Shop()
    one, two, three = shop.step("one"), shop.step("two"), shop.step("three")
    shop.told.fails = {"one": [ValueError("once")], "three": [ValueError("no")] * 3, "untwo": [ValueError("busy")]}

    @shop.app.saga(retry=QUICK, undo_retry=QUICK)
    async def travel(saga: Saga, order: Order) -> None:
        await saga.step(one, order, undo=shop.undo("one"))
        await saga.step(two, order, undo=shop.undo("two"))
        await saga.step(three, order)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            end = await until(lambda: ended(s))
            assert (end.status, end.error) == ("failed", "PROA-G001")
            assert shop.told.calls == ["one", "one", "two", "three", "three", "three", "untwo", "untwo", "unone"]
            assert b'"by":""' in (await s.request("eu", "GET", "/held/one eu:1")).body

    asyncio.run(main())


def test_a_saga_may_catch_a_failed_step_and_go_another_way(tmp_path):
    shop = Shop()
    one, two = shop.step("one"), shop.step("two")
    shop.told.fails = {"one": [ValueError("no")]}

    @shop.app.saga(retry=Retry(attempts=1))
    async def travel(saga: Saga, order: Order) -> str:
        try:
            await saga.step(one, order)
        except StepFailed as failed:
            return f"{(await saga.step(two, order)).by} since {failed.error}"
        return "one"

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            await until(lambda: ended(s))
            (row,) = await s["eu"].store.read([(SAGAS, "travel\x1feu\x1feu:1")])
            assert b"two since ValueError" in row.value

    asyncio.run(main())


def test_a_saga_sleeps_waits_and_takes_a_signal_that_came_before(tmp_path):
    shop = Shop()
    one = shop.step("one")
    seen = []

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> Order:
        await saga.sleep(0.05)
        seen.append(("slept", saga.now(), saga.token()))
        approval = await saga.wait("approved", Order)
        again = await saga.wait("approved", Order, timeout_s=60)
        await saga.step(one, again)
        return approval

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            assert (await s.request("us", "POST", "/signal", Order("eu:1", 7))).status == 204
            await start(s)
            await until(lambda: seen)
            await asyncio.sleep(0.05)
            assert shop.told.calls == []
            await s.request("us", "POST", "/signal", Order("eu:1", 8))
            end = await until(lambda: ended(s))
            assert end.status == "done"
            assert len(set(seen)) == 1
            assert len(seen) > 1

    asyncio.run(main())


def test_a_wait_that_takes_too_long_is_told_to_the_saga(tmp_path):
    shop = Shop()

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> str:
        try:
            await saga.wait("approved", Order, timeout_s=0.05)
        except SignalTimedOut:
            return "late"
        return "in time"

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            assert (await until(lambda: ended(s))).status == "done"

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_a_child_gives_its_parent_its_result_or_its_failure(tmp_path, fails):
    shop = Shop()
    one = shop.step("one")
    shop.told.fails = {"one": [ValueError("no")]} if fails else {}

    @shop.app.saga(retry=Retry(attempts=1))
    async def ship(saga: Saga, order: Order) -> Held:
        return await saga.step(one, order)

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> str:
        return (await saga.child(ship, order)).by

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            end = await until(lambda: ended(s))
            assert end.status == ("failed" if fails else "done")
            assert ended(s, "eu:travel.1#0").status == end.status

    asyncio.run(main())


def test_a_strong_step_is_done_once_although_its_journal_is_written_after_it(tmp_path):
    shop = Shop()
    stock = shop.stock

    async def take(order: Order) -> Order:
        shop.told.of("take")
        left = await stock.get(order.id, Order(order.id, 5))
        await stock.put(Order(order.id, left.qty - 1))
        return Order(order.id, left.qty - 1)

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> int:
        return (await saga.step(take, order)).qty

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            store, failed = s["eu"].store, []
            commit = store.commit

            async def failing(batch):
                if not failed and any(write.table == STEPS for write in batch.writes):
                    failed.append(batch)
                    raise StoreFull("no room")
                return await commit(batch)

            store.commit = failing
            await start(s)
            await until(lambda: ended(s))
            assert failed
            assert shop.told.calls == ["take"]
            (row,) = await s.store.read([("stock", "eu:1")])
            assert ended(s).status == "done"
            assert msgspec.msgpack.decode(row.value)["qty"] == 4

    asyncio.run(main())


def test_code_that_does_not_fit_the_journal_makes_the_saga_stuck(tmp_path):
    shop = Shop()
    one, two = shop.step("one"), shop.step("two")
    order_of = [one, two]

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> None:
        await saga.step(order_of[0], order)
        await saga.wait("approved", Order)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            await until(lambda: shop.told.calls)
            await asyncio.sleep(0.05)
            order_of.reverse()
            await s.request("eu", "POST", "/signal", Order("eu:1"))
            said = (await until(lambda: stuck(s))).said
            assert "step 0 is recorded as step one, the code has step two there" in said

    asyncio.run(main())


def test_a_sagas_function_reads_nothing_by_itself(tmp_path):
    shop = Shop()

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> None:
        await shop.held.get("x", None)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            assert (await until(lambda: ended(s))).error == "PROA-U007"

    asyncio.run(main())


def test_sagas_that_wait_hold_no_task(tmp_path):
    shop = Shop()
    asked = []

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> None:
        asked.append(saga.id)
        await saga.wait("approved", Order, timeout_s=3600)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s, "eu:0")
            await until(lambda: len(asked) == 1)
            before = len(asyncio.all_tasks())
            for number in range(1, 100):
                await start(s, f"eu:{number}")
            await until(lambda: len(asked) == 100)
            await asyncio.sleep(0.05)
            assert len(asyncio.all_tasks()) <= before + 2
            assert s["eu"].sagas._turns == {}

    asyncio.run(main())


def test_an_effect_may_be_a_step_by_itself(tmp_path):
    shop = Shop()
    keys = []

    @shop.app.effect
    async def charge(order: Order, key: EffectKey = effect_key) -> Held:
        keys.append(key)
        return Held(order.id, "bank")

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> str:
        return (await saga.step(charge, order)).by + (await saga.step(charge, order)).by

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            assert (await until(lambda: ended(s))).status == "done"
            assert len(set(keys)) == 2

    asyncio.run(main())


def test_a_unit_may_cancel_a_saga_once(tmp_path):
    shop = Shop()
    one = shop.step("one")

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> str:
        await saga.step(one, order, undo=shop.undo("one"))
        try:
            await saga.wait("approved", Order)
        except SagaCancelled:
            return (await saga.wait("approved", Order)).id
        return ""

    @shop.app.post("/cancel")
    async def cancel(order: Order) -> None:
        await travel.cancel(order.id)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            await until(lambda: shop.told.calls)
            for _ in range(2):
                await s.request("us", "POST", "/cancel", Order("eu:1"))
            await s.settled()
            await s.request("us", "POST", "/signal", Order("eu:1"))
            assert (await until(lambda: ended(s))).status == "done"
            assert shop.told.calls == ["one"]

    asyncio.run(main())


def test_a_saga_with_too_many_steps_is_stuck(tmp_path, monkeypatch):
    monkeypatch.setattr(journey, "STEPS_MAX", 3)
    shop = Shop()
    one = shop.step("one")

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> None:
        while True:
            await saga.step(one, order)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            assert "3 steps at most" in (await until(lambda: stuck(s))).said
            assert shop.told.calls == ["one"] * 3

    asyncio.run(main())


@pytest.mark.parametrize("raises", [False, True])
def test_a_saga_that_is_cancelled_after_its_last_step_undoes_it(tmp_path, raises):
    shop = Shop()
    one, commits = shop.step("one"), []

    @shop.app.saga()
    async def travel(saga: Saga, order: Order) -> None:
        await saga.step(one, order, undo=shop.undo("one"))
        if raises:
            raise ValueError(order.id)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            commit = s["eu"].store.commit

            async def failing(batch):
                commits.extend(write for write in batch.writes if write.table == SAGAS)
                if len(commits) == 3:  # the undo was registered, the step done: now the end
                    raise StoreFull("no room")
                return await commit(batch)

            s["eu"].store.commit = failing
            await start(s)
            await until(lambda: len(commits) == 3)
            await SagasDesk(s["eu"].sagas, s.app.regions).cancel("travel", "eu:1")
            end = await until(lambda: ended(s))
            assert (end.status, end.error) == ("failed", "ValueError" if raises else "PROA-G002")
            assert shop.told.calls == ["one", "unone"]

    asyncio.run(main())
