"""Dependencies of an app: calls behind policies that a region's handlers share, broken and healed in a world."""

import asyncio

import msgspec
import pytest

from proa import App, BadRequest, Breaker, Budget, Bulkhead, Hedge, Retry, cached
from proa.errors import DeclarationError, NoUnit
from proa.runtime.calls import CallFailed
from proa.simulation import World, simulated

REGIONS = ["eu-west-1", "us-east-1"]


def shop(*, call=None, elsewhere=None, **options):
    """An app that asks a bank; `call` is what the call adds to the dependency's policies."""
    app = App("shop", regions=REGIONS)
    bank = app.dependency("bank", **options)

    @bank.call(idempotent=True, elsewhere=elsewhere, **(call or {}))
    async def rate(currency: str) -> float:
        return 1.0

    @bank.call
    def charge(amount: int) -> int:
        return amount

    @app.get("/rates/{currency}")
    async def read(currency: str) -> float:
        return await rate(currency)

    @app.get("/twice")
    async def twice() -> float:
        return await rate("EUR") + await rate("USD")

    @app.get("/charges/{amount}")
    def pay(amount: int) -> int:
        return charge(amount)

    return app


def told(world, region="eu-west-1"):
    """What a region tells from now on."""
    events = []
    world.region(region)._ports.hub.subscribe(events.append)
    return events


def figures(world, region="eu-west-1"):
    """A region's metrics of dependencies: name and labels -> value."""
    lines = world.region(region).metrics.text().splitlines()
    return {
        name.replace(f'region="{region}",', ""): float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


@simulated
async def test_a_handler_calls_a_dependency_as_a_plain_function():
    async with World(shop(breaker=Breaker(), timeout_s=1)) as world:
        assert (await world["eu-west-1"].get("/twice")).body == b"2.0"
        assert (await world["eu-west-1"].get("/charges/5")).body == b"5"
        assert figures(world)['proa_dependency_attempts{dependency="bank",outcome="passed"}'] == 3


@simulated
async def test_a_failure_tells_the_client_to_come_back():
    async with World(shop()) as world:
        world.dependency("bank").fail()
        for path, call in (("/rates/EUR", "rate"), ("/charges/5", "charge")):
            reply = await world["eu-west-1"].get(path)
            problem = msgspec.json.decode(reply.body)
            assert (reply.status, problem["code"], reply.headers["retry-after"]) == (503, "PROA-P001", "1")
            assert problem["detail"].startswith(f"bank.{call} failed: ConnectionError")


@simulated
async def test_a_call_that_came_to_nothing_is_told_and_counted_in_both_forms():
    async with World(shop()) as world:
        events = told(world)
        world.dependency("bank").fail(error=lambda: OSError("gone"))
        for path in ("/rates/EUR", "/charges/5"):
            await world["eu-west-1"].get(path)
        assert [event for event in events if isinstance(event, CallFailed)] == [
            CallFailed("bank", "rate", "OSError: gone"),
            CallFailed("bank", "charge", "OSError: gone"),
        ]
        counted = figures(world)
        assert [
            counted[f'proa_calls_failed_total{{dependency="bank",call="{call}"}}'] for call in ("rate", "charge")
        ] == [
            1,
            1,
        ]


@simulated
async def test_a_typed_refusal_of_the_dependency_is_the_clients():
    async with World(shop(breaker=Breaker(min_calls=1, window_calls=1))) as world:
        world.dependency("bank").fail(error=lambda: BadRequest("no such currency"))
        assert [(await world["eu-west-1"].get("/rates/XXX")).status for _ in range(3)] == [400] * 3


@simulated
async def test_a_breaker_is_one_regions():
    async with World(shop(breaker=Breaker(min_calls=2, window_calls=2, open_s=60))) as world:
        bank = world.dependency("bank").fail(region="eu-west-1")
        assert [await _statuses(world, region) for region in REGIONS] == [[503] * 4, [200] * 4]
        bank.heal()
        reply = await world["eu-west-1"].get("/rates/EUR")
        assert msgspec.json.decode(reply.body)["code"] == "PROA-P003"


async def _statuses(world, region, count=4):
    return [(await world[region].get("/rates/EUR")).status for _ in range(count)]


@simulated
async def test_a_request_that_meets_an_open_breaker_is_answered_by_another_region():
    """The refusal proves that nothing was done, so the edge may try elsewhere."""
    async with World(shop(breaker=Breaker(min_calls=2, window_calls=2, open_s=60))) as world:
        world.dependency("bank").fail(region="eu-west-1")
        await _statuses(world, "eu-west-1")
        assert {(await world.edge.get("/rates/EUR")).status for _ in range(10)} == {200}


@simulated
async def test_a_shared_breaker_opens_in_other_regions_too():
    async with World(shop(breaker=Breaker(min_calls=2, window_calls=2, open_s=5, shared=True))) as world:
        bank = world.dependency("bank").fail()
        await _statuses(world, "eu-west-1", 2)
        await asyncio.sleep(1)
        before = bank.calls
        assert (await _statuses(world, "us-east-1"), bank.calls - before) == ([503] * 4, 0)
        bank.heal()
        await asyncio.sleep(6)
        assert await _statuses(world, "us-east-1") == [200] * 4
        assert figures(world, "us-east-1")['proa_breaker_opened_total{dependency="bank",cause="another region"}'] == 1


@simulated
async def test_without_a_network_a_shared_breaker_is_one_regions():
    async with World(shop(breaker=Breaker(min_calls=2, window_calls=2, open_s=5, shared=True))) as world:
        world.partition("eu-west-1", "us-east-1")
        world.dependency("bank").fail(region="eu-west-1")
        await _statuses(world, "eu-west-1", 2)
        await asyncio.sleep(1)
        assert await _statuses(world, "us-east-1") == [200] * 4


@simulated
async def test_a_region_that_starts_heeds_no_breaker_of_the_past():
    class Note(msgspec.Struct):
        id: str

    app = shop(breaker=Breaker(min_calls=2, window_calls=2, open_s=60, shared=True))
    notes = app.table("notes", Note, key="id")

    @app.put("/notes/{id}")
    async def write(id: str) -> None:
        await notes.put(Note(id))

    async with World(app) as world:
        bank = world.dependency("bank").fail()
        await _statuses(world, "eu-west-1", 2)
        await asyncio.sleep(1)
        bank.heal()
        world.kill("us-east-1")
        world.start("us-east-1")
        await world.settle()
        await world["us-east-1"].put("/notes/a")  # rows are looked at when something changes
        await asyncio.sleep(1)
        assert await _statuses(world, "us-east-1") == [200] * 4


@simulated
async def test_retries_are_bounded_by_the_budget_of_all_callers():
    app = shop(retry=Retry(attempts=5, base_s=0.01), budget=Budget(ratio=0.1, burst=5))
    async with World(app) as world:
        bank = world.dependency("bank").fail()
        await asyncio.gather(*(world["eu-west-1"].get("/rates/EUR") for _ in range(50)))
        assert 50 < bank.calls <= 50 * 1.1 + 5


@simulated
async def test_no_retry_is_waited_for_beyond_the_units_deadline():
    async with World(shop(retry=Retry(attempts=3, base_s=8, jitter="none"))) as world:
        world.dependency("bank").fail()
        began = world.now
        assert (await world["eu-west-1"].get("/rates/EUR")).status == 503
        assert world.now - began < 1


@simulated
async def test_a_call_that_outlasts_the_units_deadline_is_a_failure():
    async with World(shop(breaker=Breaker(min_calls=1, window_calls=1))) as world:
        world.dependency("bank").gone()
        replies = [await world["eu-west-1"].get("/rates/EUR") for _ in range(2)]
        assert [msgspec.json.decode(reply.body)["code"] for reply in replies] == ["PROA-U005", "PROA-P003"]


@simulated
async def test_a_bulkhead_keeps_a_slow_dependency_from_holding_all():
    async with World(shop(bulkhead=Bulkhead(2, max_waiting=2, wait_s=0.5))) as world:
        world.dependency("bank").slow(2.0)
        replies = await asyncio.gather(*(world["eu-west-1"].get("/rates/EUR") for _ in range(10)))
        assert sorted(reply.status for reply in replies) == [200] * 2 + [503] * 8


@simulated
async def test_a_hedge_goes_to_the_replica_elsewhere():
    async def replica(currency: str) -> float:
        return 2.0

    app = shop(elsewhere=replica, call={"hedge": Hedge(after_s=0.1)})
    async with World(app) as world:
        door = world["eu-west-1"]
        assert (await door.get("/rates/EUR")).body == b"1.0"

        async def hangs(currency):
            await asyncio.sleep(60)

        world.dependency("bank").answers(rate=hangs)
        began = world.now
        assert ((await door.get("/rates/EUR")).body, round(world.now - began, 2)) == (b"2.0", 0.11)
        assert figures(world)['proa_calls_hedged_total{dependency="bank",call="rate",won="True"}'] == 1


@simulated
async def test_where_the_breaker_is_open_the_call_goes_elsewhere():
    async def replica(currency: str) -> float:
        return 2.0

    app = shop(elsewhere=replica, breaker=Breaker(min_calls=1, window_calls=1, open_s=60), budget=Budget(burst=100))
    async with World(app) as world:

        async def fails(currency):
            raise ConnectionError

        world.dependency("bank").answers(rate=fails)
        assert [(await world["eu-west-1"].get("/rates/EUR")).body for _ in range(5)] == [b"2.0"] * 5
        told = figures(world)
        assert told['proa_dependency_attempts{dependency="bank",outcome="failed"}'] == 1
        assert told['proa_dependency_attempts{dependency="bank",target="elsewhere",outcome="passed"}'] == 5


@simulated
async def test_an_answer_says_which_fallback_had_its_part_in_it_and_a_repeat_says_it_again():
    app = App("shop", regions=REGIONS)
    bank = app.dependency("bank")

    def assumed(currency: str) -> float:
        return 0.5

    @bank.call(idempotent=True, fallback=(cached(60), assumed))
    async def rate(currency: str) -> float:
        return 1.0

    @app.post("/quotes", idempotent=True)
    async def quote() -> float:
        return await rate("EUR") + await rate("USD")

    async with World(app) as world:
        door = world["eu-west-1"]
        assert "proa-degraded" not in (await door.post("/quotes", key="well")).headers
        world.dependency("bank").fail(0.999)
        replies = [await door.post("/quotes", key="ill") for _ in range(2)]
        assert [reply.headers["proa-degraded"] for reply in replies] == ["bank=cached"] * 2
        assert replies[1].headers["idempotency-replayed"] == "true"


@simulated
async def test_a_stale_read_may_stand_in():
    class Rate(msgspec.Struct, frozen=True):
        currency: str
        value: float

    app = App("shop", regions=REGIONS)
    rates = app.table("rates", Rate, key="currency")
    bank = app.dependency("bank")

    async def last_known(currency: str) -> Rate:
        return await rates.get(currency)

    @bank.call(idempotent=True, fallback=(last_known,))
    async def rate(currency: str) -> Rate:
        return Rate(currency, 1.0)

    @app.post("/rates/{currency}")
    async def learn(currency: str) -> Rate:
        known = await rate(currency)
        await rates.put(known)
        return known

    @app.get("/rates/{currency}")
    async def read(currency: str) -> Rate:
        return await rate(currency)

    async with World(app) as world:
        await world["eu-west-1"].post("/rates/EUR")
        await world.settle()
        world.dependency("bank").fail()
        reply = await world["us-east-1"].get("/rates/EUR")
        assert (reply.status, reply.headers["proa-degraded"]) == (200, "bank=last_known")
        assert (await world["us-east-1"].get("/rates/USD")).status == 503


@simulated
async def test_a_person_may_hold_a_breaker_open_or_closed():
    app = shop(breaker=Breaker(min_calls=1, window_calls=1, open_s=1))

    @app.put("/bank/{state}")
    async def hold(state: str) -> None:
        app.dependencies["bank"].force(None if state == "judging" else state)

    async with World(app) as world:
        door, bank = world["eu-west-1"], world.dependency("bank")
        await door.put("/bank/open")
        await asyncio.sleep(5)
        assert await _statuses(world, "eu-west-1", 2) == [503, 503]
        assert await _statuses(world, "us-east-1", 2) == [200, 200]
        await door.put("/bank/closed")
        bank.fail()
        await _statuses(world, "eu-west-1", 3)
        assert bank.calls == 5
        await door.put("/bank/judging")
        await _statuses(world, "eu-west-1", 3)
        assert bank.calls == 6


@simulated
async def test_what_has_no_breaker_cannot_be_held():
    app = shop()

    @app.put("/hold")
    async def hold() -> None:
        app.dependencies["bank"].force("open")

    async with World(app) as world:
        reply = await world["eu-west-1"].put("/hold")
        assert "no breaker" in msgspec.json.decode(reply.body)["detail"]


def test_a_dependency_is_called_in_a_unit():
    app = App("shop", regions=REGIONS)

    @app.dependency("bank").call
    def charge() -> None: ...

    with pytest.raises(NoUnit, match="handler"):
        charge()


def _declared(**options):
    bank = App("shop", regions=REGIONS).dependency("bank")
    return bank.call(**options)


async def waits() -> None: ...


def blocks() -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (blocks, {"hedge": Hedge()}, "hedge needs an `async def`"),
        (waits, {"elsewhere": blocks}, "elsewhere is an `async def`"),
        (waits, {"fallback": (cached(1),)}, "idempotent=True"),
        (blocks, {"fallback": (waits,)}, "blocks its thread"),
    ],
)
def test_a_call_that_cannot_work_is_refused(function, options, said):
    with pytest.raises(DeclarationError, match=said):
        _declared(**options)(function)


def test_names_are_declared_once():
    app = App("shop", regions=REGIONS)
    bank = app.dependency("bank")
    bank.call(blocks)
    with pytest.raises(DeclarationError, match="declared twice"):
        bank.call(blocks)
    with pytest.raises(DeclarationError, match="declared twice"):
        app.dependency("bank")


def test_a_world_knows_the_apps_dependencies_alone():
    with pytest.raises(KeyError, match="no dependency 'post'; it has bank"):
        World(shop()).dependency("post")
