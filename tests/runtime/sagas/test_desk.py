"""What people do with sagas: those that are stuck or failed go on, those that go on are ended."""

import asyncio

import pydantic
import pytest
from test_sagas import QUICK, Order, Shop, ended, everybody, running, start, stuck, until

from proa.core.policy.retry import Retry
from proa.declare.sagas import Saga
from proa.errors import NotFound, NotHome, SagaRefused
from proa.runtime.sagas import desk as desks
from proa.runtime.sagas.desk import SagasDesk

ONCE = Retry(attempts=1)


def desk(s):
    return SagasDesk(s["eu"].sagas, s.app.regions)


def journey(shop, **options):
    one, two = shop.step("one"), shop.step("two")

    @shop.app.saga(retry=QUICK, undo_retry=ONCE, **options)
    async def travel(saga: Saga, order: Order) -> str:
        await saga.step(one, order, undo=shop.undo("one"))
        await saga.wait("approved", Order)
        return (await saga.step(two, order, undo=shop.undo("two"))).by

    shop.saga = travel


def run(folder, scenario):
    shop = Shop()
    journey(shop)

    async def main():
        async with running(shop, folder) as s:
            await scenario(s, shop)

    asyncio.run(main())


async def waiting(s):
    await start(s)
    for _ in range(500):
        if (lines := await desk(s).listed("travel", "")) and lines[0].waits.startswith("wait"):
            return lines[0]
        await asyncio.sleep(0.005)
    raise AssertionError("it does not wait")


def test_a_saga_that_waits_is_listed_and_shown(tmp_path):
    async def scenario(s, shop):
        line = await waiting(s)
        assert (line.id, line.status, line.steps, line.waits) == ("eu:1", "running", 2, "wait approved")
        whole = await desk(s).shown("travel", "eu:1")
        assert whole.input == {"id": "eu:1", "qty": 1}
        assert [(step.kind, step.name, step.state, step.undo) for step in whole.steps] == [
            ("step", "one", "done", "unone"),
            ("wait", "approved", "begun", ""),
        ]
        assert whole.steps[0].result == {"id": "one eu:1", "by": "one"}
        with pytest.raises(NotFound):
            await desk(s).shown("travel", "eu:2")

    run(tmp_path, scenario)


def test_what_a_saga_was_given_and_came_to_is_shown_whatever_its_types_are(tmp_path):
    class Trip(pydantic.BaseModel):
        id: str
        nights: int = 1

    shop = Shop()

    @shop.app.saga(name="travel")
    async def travel(saga: Saga, trip: Trip) -> Trip:
        return trip

    @shop.app.post("/book")
    async def book(trip: Trip) -> str:
        return await travel.start(trip, id=trip.id)

    async def main():
        async with running(shop, tmp_path) as s:
            await s.request("eu", "POST", "/book", {"id": "eu:1", "nights": 3})
            await until(lambda: ended(s))
            whole = await desk(s).shown("travel", "eu:1")
            assert (whole.input, whole.result) == ({"id": "eu:1", "nights": 3}, {"id": "eu:1", "nights": 3})

    asyncio.run(main())


def test_a_person_may_signal_a_saga(tmp_path):
    async def scenario(s, shop):
        await waiting(s)
        await desk(s).signal("travel", "eu:1", "approved", {"id": "x", "qty": 2})
        assert (await until(lambda: ended(s))).status == "done"

    run(tmp_path, scenario)


def test_a_signal_that_could_not_be_kept_is_not_said_to_be_sent(tmp_path, monkeypatch):
    async def scenario(s, shop):
        await waiting(s)
        found = SagasDesk._course

        async def then_the_lease_ends(asked, name, id_):
            course = await found(asked, name, id_)
            s["eu"].assume(everybody(), 0.0)
            return course

        monkeypatch.setattr(SagasDesk, "_course", then_the_lease_ends)
        with pytest.raises(NotHome):
            await desk(s).signal("travel", "eu:1", "approved", {"id": "x"})

    run(tmp_path, scenario)


def test_a_cancelled_saga_undoes_what_it_did(tmp_path):
    async def scenario(s, shop):
        await waiting(s)
        await desk(s).cancel("travel", "eu:1")
        end = await until(lambda: ended(s))
        assert (end.status, end.error) == ("failed", "PROA-G002")
        assert shop.told.calls == ["one", "unone"]
        with pytest.raises(SagaRefused):
            await desk(s).cancel("travel", "eu:1")

    run(tmp_path, scenario)


@pytest.mark.parametrize("waits", [True, False], ids=["then it waits", "then it ends"])
def test_a_cancel_interrupts_no_step_and_finds_what_follows_it_without_a_wait_done(tmp_path, waits):
    shop = Shop()
    begun, go_on, two = asyncio.Event(), asyncio.Event(), shop.step("two")

    async def slow(_: Order) -> None:
        begun.set()
        await go_on.wait()

    @shop.app.saga(retry=QUICK)
    async def travel(saga: Saga, order: Order) -> None:
        await saga.step(slow, order)
        await saga.step(two, order, undo=shop.undo("two"))
        if waits:
            await saga.wait("approved", Order)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            await begun.wait()
            cancelling = asyncio.create_task(desk(s).cancel("travel", "eu:1"))
            await asyncio.sleep(0.05)
            assert not cancelling.done()
            go_on.set()
            (refused,) = await asyncio.gather(cancelling, return_exceptions=True)
            end = await until(lambda: ended(s))
            if waits:
                assert (end.status, shop.told.calls) == ("failed", ["two", "untwo"])
            else:
                assert (end.status, str(refused), shop.told.calls) == ("done", "eu:1 is done", ["two"])

    asyncio.run(main())


def test_a_cancel_does_not_wait_for_a_long_step_but_is_answered_and_happens_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(desks, "PATIENCE_S", 0.02)
    shop = Shop()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Order) -> None:
        begun.set()
        await go_on.wait()

    @shop.app.saga(retry=QUICK)
    async def travel(saga: Saga, order: Order) -> None:
        await saga.step(slow, order, undo=shop.undo("slow"))
        await saga.wait("approved", Order)

    async def main():
        shop.saga = travel
        async with running(shop, tmp_path) as s:
            await start(s)
            await begun.wait()
            for _ in range(2):  # asked again it is the same
                async with asyncio.timeout(1):
                    assert (await desk(s).cancel("travel", "eu:1")).status == "cancelling"
            with pytest.raises(SagaRefused, match="is running"):
                async with asyncio.timeout(1):
                    await desk(s).retry("travel", "eu:1")
            go_on.set()
            end = await until(lambda: ended(s))
            whole = await desk(s).shown("travel", "eu:1")
            assert (end.status, end.error, shop.told.calls) == ("failed", "PROA-G002", ["unslow"])
            assert whole.steps[-1].said == "a person cancelled it"
            with pytest.raises(SagaRefused, match="is failed"):
                await desk(s).cancel("travel", "eu:1")

    asyncio.run(main())


def test_a_saga_whose_undo_fails_is_stuck_until_a_person_lets_it_go_on(tmp_path):
    async def scenario(s, shop):
        shop.told.fails = {"unone": [ValueError("locked")]}
        await waiting(s)
        await desk(s).cancel("travel", "eu:1")
        await until(lambda: stuck(s))
        (line,) = await desk(s).listed("", "stuck")
        assert "locked" in line.said
        await desk(s).retry("travel", "eu:1")
        assert (await until(lambda: ended(s))).status == "failed"
        assert shop.told.calls == ["one", "unone", "unone"]

    run(tmp_path, scenario)


def test_a_failed_saga_begins_again_at_a_step_of_which_none_before_is_undone(tmp_path):
    async def scenario(s, shop):
        shop.told.fails = {"two": [ValueError("no")] * 3}
        await waiting(s)
        await desk(s).signal("travel", "eu:1", "approved", {"id": "x"})
        assert (await until(lambda: ended(s))).status == "failed"
        with pytest.raises(SagaRefused, match=r"step 0 \(one\) was undone"):
            await desk(s).retry("travel", "eu:1")
        s.events.clear()
        await desk(s).retry("travel", "eu:1", 0)
        await desk(s).signal("travel", "eu:1", "approved", {"id": "x"})
        assert (await until(lambda: ended(s))).status == "done"
        assert shop.told.calls == ["one", "two", "two", "two", "untwo", "unone", "one", "two"]
        with pytest.raises(SagaRefused, match="done"):
            await desk(s).retry("travel", "eu:1", 0)

    run(tmp_path, scenario)
