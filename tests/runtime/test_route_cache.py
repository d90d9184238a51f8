"""The cache of routes: kept answers, shared runs, stale ones where that is better than none, and purges everywhere."""

import asyncio

import msgspec
import pytest

from proa import ApiKeys, App, Cache, Context, Principal, Response, Saga, cached, purge
from proa.errors import NoUnit
from proa.runtime.calls import AnswerKept, AnswersPurged, PurgeUnheard
from proa.simulation import World, simulated
from support.ways import NEVER_S, in_every_way

REGIONS = ["eu-west-1", "us-east-1"]


class Rate(msgspec.Struct, frozen=True):
    currency: str
    value: float


def shop(**options):
    app = App("shop", regions=REGIONS)
    rates = app.table("rates", Rate, key="currency")
    bank = app.dependency("bank", timeout_s=0.5)
    options = {"max_age_s": 10, "swr_s": 5, "stale_if_error_s": 60, "tags": ("rates",), **options}

    @bank.call(idempotent=True)
    async def told(currency: str) -> float:
        return 1.0

    @app.get("/rates/{currency}", cache=Cache(**options))
    async def rate(currency: str) -> Rate:
        return Rate(currency, (await rates.get(currency, Rate(currency, 0))).value + await told(currency))

    @app.put("/rates/{currency}")
    async def put(currency: str, body: Rate) -> None:
        await rates.put(body)
        purge(path=f"/rates/{currency}")

    @app.post("/publish")
    async def publish() -> None:
        purge(tag="rates")

    @app.post("/failing")
    async def failing() -> None:
        purge(tag="rates")
        raise ValueError

    return app


async def seen(door, path="/rates/EUR", **headers):
    """How the cache answered, and the value."""
    reply = await door.get(path, headers=headers)
    assert reply.status == 200, reply.body
    return reply.headers.get("proa-cache"), msgspec.json.decode(reply.body)["value"]


@simulated
async def test_an_answer_is_kept_for_its_age():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        assert await seen(door) == ("miss", 1.0)
        await asyncio.sleep(9)
        reply = await door.get("/rates/EUR")
        assert (reply.headers["age"], reply.headers["proa-cache"]) == ("9", "hit")
        assert reply.headers["cache-control"] == "max-age=10, stale-while-revalidate=5, stale-if-error=60"
        assert world.dependency("bank").calls == 1


@simulated
async def test_a_stale_answer_is_given_while_a_new_one_is_fetched():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        await seen(door)
        world.dependency("bank").answers(told=lambda _: 2.0)
        await asyncio.sleep(11)
        assert [await seen(door), await seen(door)] == [("stale", 1.0), ("stale", 1.0)]
        await asyncio.sleep(0.1)
        assert (await seen(door), world.dependency("bank").calls) == (("hit", 2.0), 2)


@simulated
async def test_a_stale_answer_is_better_than_none_and_says_so():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        await seen(door)
        world.dependency("bank").fail()
        await asyncio.sleep(20)
        reply = await door.get("/rates/EUR")
        assert (reply.status, reply.headers["proa-cache"], reply.headers["proa-degraded"]) == (200, "stale", "cache")
        await asyncio.sleep(60)
        assert (await door.get("/rates/EUR")).status == 503


@simulated
async def test_callers_who_want_the_same_share_one_run():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        replies = await asyncio.gather(*(seen(door) for _ in range(5)))
        assert (replies, world.dependency("bank").calls) == ([("miss", 1.0)] * 5, 1)


@simulated
async def test_paths_and_queries_are_kept_apart():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        await seen(door)
        assert await seen(door, "/rates/USD") == ("miss", 1.0)


@simulated
async def test_who_brings_credentials_passes_the_cache_by():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        await seen(door)
        assert await seen(door, authorization="Bearer a") == (None, 1.0)
        assert world.dependency("bank").calls == 2


@simulated
async def test_a_header_that_is_named_keeps_answers_apart():
    async with World(shop(vary=("authorization",))) as world:
        door = world["eu-west-1"]
        ways = [await seen(door, authorization=who) for who in ("a", "b", "a")]
        assert [way for way, _ in ways] == ["miss", "miss", "hit"]


@simulated
async def test_a_header_is_named_in_any_case():
    async with World(shop(vary=("Accept-Language",))) as world:
        door = world["eu-west-1"]
        languages = {"accept-language": "en"}, {"accept-language": "fr"}
        replies = [await door.get("/rates/EUR", headers=headers) for headers in languages]
        assert [reply.headers["proa-cache"] for reply in replies] == ["miss", "miss"]
        assert replies[0].headers["vary"] == "accept-language, authorization, cookie, proa-session"


@simulated
async def test_caches_on_the_way_are_told_whose_an_answer_is():
    async with World(shop(vary=("authorization",))) as world:
        replies = [await world["eu-west-1"].get("/rates/EUR", headers=each) for each in ({"authorization": "a"}, {})]
        controls = [reply.headers["cache-control"] for reply in replies]
        anybodys = "max-age=10, stale-while-revalidate=5, stale-if-error=60"
        assert controls == [f"private, {anybodys}", anybodys]
        assert [reply.headers["vary"] for reply in replies] == ["authorization, cookie, proa-session"] * 2


def keyed(*vary):
    """An app with a kept answer that depends on who asks, and gives out keys."""
    app = App("shop", regions=REGIONS)
    authentication = app.authenticate(ApiKeys("X-Shop-Key"))

    @app.get("/me", cache=Cache(10, vary=vary))
    async def me(who: Principal) -> str:
        return who.subject

    @app.post("/keys/{name}", auth=None)
    async def give(name: str, ctx: Context) -> str:
        return await authentication.keys.issue(name, ctx)

    return app


@simulated
@pytest.mark.parametrize(
    ("vary", "ways"), [((), [None, None, None]), (("X-Shop-Key",), ["miss", "miss", "hit"])], ids=["unnamed", "named"]
)
async def test_an_answer_to_an_api_key_is_given_to_no_other_one(vary, ways):
    async with World(keyed(*vary)) as world:
        door = world["eu-west-1"]
        keys = [msgspec.json.decode((await door.post(f"/keys/{name}")).body) for name in ("ada", "bob")]
        replies = [await door.get("/me", headers={"x-shop-key": key}) for key in (*keys, keys[0])]
        assert [msgspec.json.decode(reply.body) for reply in replies] == ["ada", "bob", "ada"]
        assert [reply.headers.get("proa-cache") for reply in replies] == ways
        assert all(reply.headers["cache-control"].startswith("private") for reply in replies)


@simulated
@pytest.mark.parametrize(
    ("said", "ways"),
    [("private, max-age=5", ["miss", "miss"]), ("no-store", ["miss", "miss"]), ("public, max-age=5", ["miss", "hit"])],
)
async def test_what_a_handler_says_of_keeping_its_answer_holds(said, ways):
    app = App("shop", regions=REGIONS)

    @app.get("/a", cache=Cache(10))
    async def a() -> Response:
        return Response("x", headers={"Cache-Control": said})

    async with World(app) as world:
        replies = [await world["eu-west-1"].get("/a") for _ in range(2)]
        assert [reply.headers["proa-cache"] for reply in replies] == ways
        assert [reply.headers["cache-control"] for reply in replies] == [said, said]


@simulated
async def test_a_write_purges_what_it_made_old_in_every_region():
    async with World(shop()) as world:
        doors = [world[region] for region in REGIONS]
        for door in doors:
            await seen(door)
        await doors[0].put("/rates/EUR", {"currency": "EUR", "value": 4.0})
        await asyncio.sleep(1)
        assert [await seen(door) for door in doors] == [("miss", 5.0), ("miss", 5.0)]


@simulated
async def test_a_region_that_had_not_yet_what_was_written_purges_once_more():
    """The purge comes before the row: what is fetched in between must not stay."""
    async with World(shop()) as world:
        here, there = (world[region] for region in REGIONS)
        await seen(there)
        world.partition("us-east-1", "eu-west-1", one_way=True)  # it hears of the purge, but cannot ask for the row
        await asyncio.sleep(2)
        await here.put("/rates/EUR", {"currency": "EUR", "value": 4.0})
        await asyncio.sleep(1)
        assert [await seen(there), await seen(there)] == [("miss", 1.0), ("hit", 1.0)]
        world.mend("us-east-1", "eu-west-1")
        await asyncio.sleep(2)
        assert await seen(there) == ("miss", 5.0)


@simulated
async def test_a_cache_tells_how_it_answered_what_was_purged_and_who_could_not_be_told():
    async with World(shop()) as world:
        events = []
        world.region("eu-west-1")._ports.hub.subscribe(events.append)
        door, route = world["eu-west-1"], "GET /rates/{currency}"
        await seen(door)
        await seen(door)
        world.partition("eu-west-1", "us-east-1")
        await door.post("/publish")
        await asyncio.sleep(10)
        cached = [event for event in events if isinstance(event, AnswerKept | AnswersPurged | PurgeUnheard)]
        assert cached == [
            AnswerKept(route, "miss"),
            AnswerKept(route, "hit"),
            AnswersPurged(1),
            PurgeUnheard("us-east-1"),
        ]


@simulated
async def test_a_tag_purges_all_that_carry_it():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        await seen(door)
        await seen(door, "/rates/USD")
        await door.post("/publish")
        assert [await seen(door), await seen(door, "/rates/USD")] == [("miss", 1.0)] * 2


@simulated
async def test_what_is_being_fetched_when_it_is_purged_is_not_kept():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        world.dependency("bank").slow(0.3)
        fetching = asyncio.ensure_future(seen(door))
        await asyncio.sleep(0.1)
        await door.post("/publish")
        assert [await fetching, await seen(door), await seen(door)] == [("miss", 1.0), ("miss", 1.0), ("hit", 1.0)]


@simulated
async def test_a_unit_that_failed_purges_nothing():
    async with World(shop()) as world:
        door = world["eu-west-1"]
        await seen(door)
        assert (await door.post("/failing")).status == 500
        assert await seen(door) == ("hit", 1.0)


@simulated
async def test_a_degraded_answer_is_not_kept():
    app = App("shop", regions=REGIONS)
    bank = app.dependency("bank")

    def unknown(currency: str) -> float:
        return 0.0

    @bank.call(idempotent=True, fallback=(cached(0.1), unknown))
    async def told(currency: str) -> float:
        return 1.0

    @app.get("/rates/{currency}", cache=Cache(10))
    async def rate(currency: str) -> Rate:
        return Rate(currency, await told(currency))

    async with World(app) as world:
        world.dependency("bank").fail()
        reply = await world["eu-west-1"].get("/rates/EUR")
        assert reply.headers["proa-degraded"] == "bank=unknown"
        world.dependency("bank").heal()
        assert await seen(world["eu-west-1"]) == ("miss", 1.0)


@simulated
async def test_a_request_that_is_handed_on_to_a_rows_home_purges_too():
    class Stay(msgspec.Struct, frozen=True):
        id: str
        region: str
        note: str

    app = App("inn", regions=REGIONS)
    stays = app.table("stays", Stay, key="id", home="region")

    @app.get("/notes/{id}", cache=Cache(60))
    async def note(id: str) -> str:
        return (await stays.get(id)).note

    @app.put("/stays/{id}")
    async def put(id: str, body: Stay) -> None:
        await stays.put(body)
        purge(path=f"/notes/{id}")

    async with World(app) as world:
        doors = [world[region] for region in REGIONS]
        for note in ("old", "new"):
            reply = await doors[1].put("/stays/a", {"id": "a", "region": REGIONS[0], "note": note}, key=note)
            assert (reply.status, reply.headers["proa-home"]) == (204, REGIONS[0])
            await asyncio.sleep(1)
            assert [(await door.get("/notes/a")).body for door in doors] == [f'"{note}"'.encode()] * 2


class Note(msgspec.Struct, frozen=True):
    id: str
    text: str


def papers(every_s=NEVER_S):
    """An app whose note is written by everything that can write one, and purged with it."""
    app = App("papers", regions=REGIONS)
    notes = app.table("notes", Note, key="id")

    async def put(note: Note) -> None:
        await notes.put(note)
        purge(path=f"/notes/{note.id}")
        if note.text == "wrong":
            raise ValueError

    @app.get("/notes/{id}", cache=Cache(100_000))
    async def read(id: str) -> str:
        return (await notes.get(id, Note(id, "none"))).text

    in_every_way(app, Note, put, Note("a", "tick"), every_s)
    return app


async def read_everywhere(world):
    return [msgspec.json.decode((await world[region].get("/notes/a")).body) for region in REGIONS]


@simulated
@pytest.mark.parametrize("way", ["request", "message", "event", "change", "saga"])
async def test_whatever_unit_writes_purges_what_it_made_old(way):
    async with World(papers()) as world:
        assert await read_everywhere(world) == ["none", "none"]
        assert (await world["us-east-1"].post(f"/by/{way}", {"id": "a", "text": way})).status == 204
        await asyncio.sleep(5)
        assert await read_everywhere(world) == [way, way]


@simulated
async def test_a_tick_purges_what_it_made_old():
    async with World(papers(every_s=20)) as world:
        assert await read_everywhere(world) == ["none", "none"]
        await asyncio.sleep(25)
        assert await read_everywhere(world) == ["tick", "tick"]


@simulated
async def test_a_message_that_failed_purges_nothing():
    async with World(papers()) as world:
        await read_everywhere(world)
        await world["us-east-1"].post("/by/message", {"id": "a", "text": "wrong"})
        await asyncio.sleep(5)
        assert [(await world[region].get("/notes/a")).headers["proa-cache"] for region in REGIONS] == ["hit", "hit"]


@simulated
async def test_what_commits_nothing_purges_nothing_and_is_told_so():
    app, refused = App("papers", regions=REGIONS), set()
    app.get("/notes", cache=Cache(60))(lambda: "x")

    def tried(name):
        with pytest.raises(NoUnit):
            purge(tag="notes")
        refused.add(name)

    @app.health()
    async def checked() -> bool:
        tried("check")
        return True

    @app.effect
    async def printed() -> None:
        tried("effect")

    async def print_it() -> None:
        await printed()

    @app.saga()
    async def editing(saga: Saga, note: Note) -> None:
        tried("between steps")
        await saga.step(print_it)

    @app.post("/edit")
    async def edit(note: Note) -> None:
        await editing.start(note, id="s")

    async with World(app) as world:
        assert (await world["eu-west-1"].post("/edit", {"id": "a", "text": "b"})).status == 204
        await asyncio.sleep(10)
    assert refused == {"check", "effect", "between steps"}


@simulated
async def test_an_app_that_keeps_no_answers_is_told_so():
    app = App("shop", regions=REGIONS)

    @app.post("/publish")
    async def publish() -> str:
        with pytest.raises(NoUnit, match="cache="):
            purge(tag="rates")
        return "told"

    async with World(app) as world:
        assert (await world["eu-west-1"].post("/publish")).body == b'"told"'


def test_purging_is_for_handlers():
    with pytest.raises(NoUnit, match="inside a handler only"):
        purge(tag="rates")
