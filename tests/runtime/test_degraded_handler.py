"""A route's degraded handler: what it answers where the route's own comes to nothing, and how that is told."""

import asyncio

import msgspec
import pytest

from proa import App, Cache, Context, NotFound, Response
from proa.errors import DeclarationError
from proa.runtime.calls import FellBack
from proa.simulation import World, simulated

REGIONS = ["eu-west-1", "us-east-1"]


class Stock(msgspec.Struct, frozen=True):
    sku: str
    left: int


class Seen(msgspec.Struct, frozen=True):
    sku: str
    left: int


def shop(handler=None, spare=None, **options):
    """An app that reads its stock in the global store, or else what was last seen of it here."""
    app = App("shop", regions=REGIONS)
    stock, seen = app.table("stock", Stock, key="sku", mode="strong"), app.table("seen", Seen, key="sku")

    async def read(sku: str) -> int:
        return (await stock.get(sku)).left

    async def last_seen(sku: str) -> int:
        return (await seen.get(sku)).left

    app.get("/stock/{sku}", timeout_s=2, fallback=spare or last_seen, **options)(handler or read)

    @app.put("/stock/{sku}")
    async def put(sku: str, left: int) -> None:
        await stock.put(Stock(sku, left))

    @app.put("/seen/{sku}")
    async def see(sku: str, left: int) -> None:
        await seen.put(Seen(sku, left))

    return app


async def answered(world, path="/stock/a"):
    reply = await world["eu-west-1"].get(path)
    return reply.status, reply.body, reply.headers.get("proa-degraded")


@simulated
async def test_what_the_global_store_cannot_tell_a_regional_row_may():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        assert [(await door.put(path)).status for path in ("/stock/a?left=3", "/seen/a?left=2")] == [204, 204]
        assert await answered(world) == (200, b"3", None)
        world.partition("eu-west-1", "witness")
        began = world.now
        assert await answered(world) == (200, b"2", "handler=last_seen")
        assert world.now - began < 2


async def raises(sku: str) -> int:
    raise ValueError(sku)


async def hangs(sku: str) -> int:
    await asyncio.sleep(60)
    return 0


async def spare(sku: str, ctx: Context) -> int:
    return round(ctx.remaining_s(), 1)


@simulated
@pytest.mark.parametrize(("handler", "left"), [(raises, b"2.0"), (hangs, b"0.4")])
async def test_a_handler_that_raises_or_hangs_leaves_its_fallback_the_rest_of_the_time(handler, left):
    async with World(shop(handler, spare)) as world:
        assert await answered(world) == (200, left, "handler=spare")


@simulated
async def test_it_is_told_as_an_event():
    async with World(shop(raises, spare)) as world:
        events = []
        world.region("eu-west-1")._ports.hub.subscribe(events.append)
        await answered(world)
        fell = [event for event in events if isinstance(event, FellBack)]
        assert fell == [FellBack("", "GET /stock/{sku}", "spare", "PROA-H500: GET /stock/{sku} raised ValueError")]


async def missing(sku: str) -> int:
    raise NotFound(sku)


async def broken(sku: str) -> Response:
    return Response("of its own", status=500)


@simulated
@pytest.mark.parametrize(("handler", "status"), [(missing, 404), (broken, 500)])
async def test_what_a_handler_answers_itself_stands(handler, status):
    async with World(shop(handler, spare)) as world:
        assert [(await answered(world))[index] for index in (0, 2)] == [status, None]


@simulated
async def test_where_both_fail_the_client_hears_of_the_first():
    async with World(shop(raises, missing)) as world:
        status, body, mark = await answered(world)
        assert (status, msgspec.json.decode(body)["code"], mark) == (500, "PROA-H500", None)


@simulated
async def test_a_degraded_answer_is_kept_by_no_cache():
    async with World(shop(raises, spare, cache=Cache(60))) as world:
        replies = [await world["eu-west-1"].get("/stock/a") for _ in range(2)]
        assert [reply.headers["proa-cache"] for reply in replies] == ["miss", "miss"]
        assert [reply.headers["cache-control"] for reply in replies] == ["private, no-cache"] * 2


def test_a_fallback_needs_the_parameters_of_its_path():
    async def wrong() -> int:
        return 0

    with pytest.raises(DeclarationError, match="no parameter for"):
        shop(spare=wrong)
