"""A key that two regions finished each for itself is handed to the author, once, whoever is lost meanwhile."""

import asyncio
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from proa import AlreadyExists, App, Context, Duplicate
from proa.cli.doubled import merged
from proa.cli.status import _doubled
from proa.core.dedupe import HANDLED
from proa.core.home import Place, acting
from proa.core.roles import Assignment, Cut, Node
from proa.errors import DeclarationError
from proa.runtime.records import Records
from support.inproc import system

REGIONS = ("eu", "us", "ap")
LEASE_S = 0.2


class Play(msgspec.Struct):
    id: str
    points: int
    undone_by: str = ""


def game(undo=None, regions=REGIONS):
    """Plays that get an id of their own each time, and are taken back where they were doubled."""
    app = App("game", regions=list(regions))
    plays = app.table("plays", Play, key="id")
    app.seen = []

    async def take_back(duplicate: Duplicate, ctx: Context) -> None:
        app.seen.append((ctx.region, duplicate))
        if undo:
            await undo(app)
        doubled = duplicate.other.read(Play)
        await plays.put(Play(doubled.id, 0, ctx.unit))

    @app.post("/plays", idempotent=True, on_duplicate=take_back)
    async def play(points: int, ctx: Context) -> Play:
        if points < 0:
            raise AlreadyExists("no such points")
        made = Play(ctx.unit, points)
        await plays.put(made)
        return made

    @app.get("/plays/{id}")
    async def read(id: str) -> Play:
        return await plays.get(id)

    return app


def active(epoch=1, lost=(), cuts=()):
    roles = {name: "down" if name in lost else "active" for name in REGIONS}
    return Assignment(epoch, "active-active", roles, revoked=dict.fromkeys(lost, 1), cuts=tuple(cuts))


class Roles:
    """What every region that runs acts on; beats renew leases and tell that a region stopped for the epoch."""

    def __init__(self, s):
        self.s = s
        self.assignment = active()

    async def renew(self):
        while True:
            regions, epoch = list(self.s.regions.values()), self.assignment.epoch
            for region in regions:
                region.assume(self.assignment, self.s.clock.monotonic() + LEASE_S)
            beats = [
                Node(one.name, "region", "boot", 1, LEASE_S, cursors=one.cursors(), stopped=epoch) for one in regions
            ]
            for region in regions:
                region.handover.heard({beat.name: beat for beat in beats})
            await asyncio.sleep(LEASE_S / 5)


@asynccontextmanager
async def playing(folder, app):
    async with system(app, folder) as s:
        s.roles = Roles(s)
        beating = asyncio.create_task(s.roles.renew())
        try:
            yield s
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


def run(folder, app, scenario):
    async def go():
        async with playing(folder, app) as s, asyncio.timeout(20):
            await scenario(s)

    asyncio.run(go())


async def doubled(s, *regions, points=3, key="k"):
    """Let some regions finish one key while they do not hear of each other; their answers."""
    s.links.cut |= {(one, other) for one in REGIONS for other in REGIONS if one != other}
    answers = [await s.request(name, "POST", "/plays", key=key, query=f"points={points}") for name in regions]
    s.links.cut.clear()
    await s.settled()
    return [msgspec.json.decode(answer.body) for answer in answers]


async def handled(s, count=1):
    """Wait until every region knows that so many pairs are handled."""
    while any(region.status().duplicates["handled"] < count for region in s.regions.values()):
        await asyncio.sleep(0.02)


def told(s, name):
    return [event for event in s.events if type(event).__name__ == name]


def test_a_doubled_effect_is_handed_once_to_the_region_of_the_later_unit_and_undone_everywhere(tmp_path):
    app = game()

    async def scenario(s):
        first, second = await doubled(s, "eu", "us")
        await handled(s)
        await s.settled()
        ((region, duplicate),) = app.seen
        assert (region, duplicate.route, duplicate.key, duplicate.same_payload) == ("us", "POST /plays", "k", True)
        assert (duplicate.kept.region, duplicate.kept.read(Play).id) == ("eu", first["id"])
        assert (duplicate.other.unit, duplicate.other.status) == (second["id"], 200)
        assert duplicate.kept.at <= duplicate.other.at <= duplicate.found_at
        for name in REGIONS:
            rows = [
                msgspec.json.decode((await s.request(name, "GET", f"/plays/{played}")).body)
                for played in (first["id"], second["id"])
            ]
            assert [row["points"] for row in rows] == [3, 0]
            assert [pair.handled for pair in await s[name].store.duplicates()] == [rows[1]["undone_by"]]
        assert {event.regions for event in told(s, "DuplicateFound")} == {("eu", "us")}
        assert [event.other for event in told(s, "DuplicateHandled")] == [second["id"]]

    run(tmp_path, app, scenario)


def test_of_three_regions_under_one_key_two_are_handed_over_each_once(tmp_path):
    app = game()

    async def scenario(s):
        first, *others = await doubled(s, "eu", "us", "ap")
        await handled(s, 2)
        assert {(region, seen.other.region) for region, seen in app.seen} == {("us", "us"), ("ap", "ap")}
        assert sorted(seen.other.unit for _, seen in app.seen) == sorted(play["id"] for play in others)
        for name in REGIONS:
            pairs = await s[name].store.duplicates()
            assert {pair.kept.unit for pair in pairs} == {first["id"]}

    run(tmp_path, app, scenario)


def test_a_handler_that_fails_keeps_nothing_and_runs_again_until_it_has_committed(tmp_path):
    async def fail_twice(app):
        if len(app.seen) <= 2:
            raise ConnectionError("the bank does not answer")

    app = game(fail_twice)

    async def scenario(s):
        await doubled(s, "eu", "us")
        while not s["us"].status().duplicates["failing"]:
            await asyncio.sleep(0.02)
        assert s["us"].status().duplicates == {"listed": 1, "handled": 0, "waiting": 1, "failing": 1}
        assert 'proa_duplicates{region="us",state="failing"} 1' in s["us"].metrics.text()
        shown = {"regions": {"us": msgspec.to_builtins(s["us"].status()), "ap": {"unreachable": "cut"}}}
        assert list(_doubled(shown)) == ["\nus: 1 doubled keys wait for on_duplicate, which fails for 1 of them\n"]
        await handled(s)
        assert len(app.seen) == 3
        assert [(event.attempts, event.error) for event in told(s, "DuplicateNotHandled")] == [
            (1, "ConnectionError"),
            (2, "ConnectionError"),
        ]
        while s["us"].status().duplicates["failing"]:
            await asyncio.sleep(0.02)

    run(tmp_path, app, scenario)


def test_a_pair_survives_the_end_of_the_process_that_was_handling_it(tmp_path):
    async def wait_the_first_time(app):
        if len(app.seen) == 1:
            await asyncio.sleep(3600)

    app = game(wait_the_first_time)

    async def scenario(s):
        await doubled(s, "eu", "us")
        while not app.seen:
            await asyncio.sleep(0.02)
        await s.stop("us")
        await s.start("us")
        await handled(s)
        assert [region for region, _ in app.seen] == ["us", "us"]

    run(tmp_path, app, scenario)


def test_the_pairs_of_a_lost_region_are_handled_by_one_stand_in_that_knows_all_that_stands(tmp_path):
    app = game()

    async def scenario(s):
        s.roles.assignment = active(1, lost=("us",))  # its right is withdrawn before it has seen the pair
        await doubled(s, "eu", "us")
        head = s["us"].store.head
        await s.stop("us")
        s.roles.assignment = active(2, lost=("us",), cuts=[Cut(2, "us/1", head)])
        await handled(s)
        ((region, duplicate),) = app.seen
        assert region == acting(Place(duplicate.other.unit, "us"), ("ap", "eu"))

    run(tmp_path, app, scenario)


def test_nobody_handles_a_pair_before_the_commits_that_an_epoch_starts_from_are_there(tmp_path):
    app = game()

    async def scenario(s):
        s.roles.assignment = active(2, lost=("us",), cuts=[Cut(2, "us/1", 5)])
        await doubled(s, "eu", "us")
        await asyncio.sleep(3 * LEASE_S)
        assert app.seen == []
        s.roles.assignment = active(3, lost=("us",), cuts=[Cut(2, "us/1", 1)])
        await handled(s)
        assert len(app.seen) == 1

    run(tmp_path, app, scenario)


def test_a_later_unit_that_failed_had_no_effect_and_is_not_handed_over(tmp_path):
    app = game()

    async def scenario(s):
        await doubled(s, "eu", "us", points=-1)
        await doubled(s, "eu", "us", points=1, key="k2")
        await handled(s)
        assert [seen.key for _, seen in app.seen] == ["k2"]

    run(tmp_path, app, scenario)


def test_people_see_a_pair_with_both_answers_and_what_dealt_with_it_from_all_regions_as_one(tmp_path):
    app = game()

    async def scenario(s):
        first, second = await doubled(s, "eu", "us")
        before = [msgspec.to_builtins(await records(s, name).duplicates()) for name in REGIONS]
        await handled(s)
        after = msgspec.to_builtins(await records(s, "us").duplicates())
        (one,) = merged([*before, after])
        assert (one["route"], one["key"], one["same_payload"]) == ("POST /plays", "k", True)
        assert (one["kept"]["region"], one["kept"]["body"]) == ("eu", first)
        assert (one["other"]["region"], one["other"]["body"], one["other"]["status"]) == ("us", second, 200)
        assert one["handled"] == after[0]["handled"] != ""

    run(tmp_path, app, scenario)


def records(s, name):
    return Records(s.app, name, s[name].store)


@pytest.mark.parametrize("damaged", [b"\xc1", b"\xa1\xff"], ids=["no text", "a text that is none"])
def test_a_damaged_mark_says_still_that_a_pair_was_handled_and_the_next_pair_is(tmp_path, damaged):
    app = game()

    async def scenario(s):
        await doubled(s, "eu", "us")
        await handled(s)
        await s.settled()
        for region in s.regions.values():
            writer = region.store._writer
            writer.execute("UPDATE rows SET value = ? WHERE tbl = ?", (damaged, HANDLED))
            writer.commit()
        await doubled(s, "us", "ap", key="k2")
        await handled(s, 2)
        assert len(app.seen) == 2
        assert [pair.handled != "" for pair in await s["eu"].store.duplicates()] == [True, True]

    run(tmp_path, app, scenario)


def test_a_damaged_record_of_a_pair_is_told_and_does_not_end_the_handling_of_others(tmp_path):
    app = game()

    async def scenario(s):
        for column in ("kept", "other"):
            await doubled(s, "eu", "us", key=column)
        await handled(s, 2)
        writer = s["ap"].store._writer
        for column in ("kept", "other"):
            writer.execute(f"UPDATE doubled SET {column} = x'c1' WHERE key = '{column}'")
        writer.execute("DELETE FROM rows WHERE tbl = ?", (HANDLED,))
        writer.commit()
        s["ap"].duplicates.look()
        await doubled(s, "eu", "ap", key="k2")
        await handled(s, 1)
        assert [region for region, _ in app.seen] == ["us", "us", "ap"]
        assert [event.key for event in told(s, "DuplicateDamaged")] == ["kept", "other"]
        assert [(pair.kept.key, pair.damaged) for pair in await s["ap"].store.duplicates()] == [
            ("kept", True),
            ("other", True),
            ("k2", False),
        ]
        seen = merged([msgspec.to_builtins(await records(s, name).duplicates()) for name in ("ap", "eu")])
        assert [one["other"]["region"] for one in seen] == ["us", "us", "ap"], "another region knows better"

    run(tmp_path, app, scenario)


def test_a_route_without_a_handler_only_lists(tmp_path):
    app = game()
    app.routes[0].on_duplicate = None

    async def scenario(s):
        await doubled(s, "eu", "us")
        assert [region.status().duplicates for region in s.regions.values()] == [
            {"listed": 1, "handled": 0, "waiting": 0, "failing": 0}
        ] * 3

    run(tmp_path, app, scenario)


async def plain(duplicate, ctx): ...
async def too_few(duplicate): ...
def not_async(duplicate, ctx): ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_duplicate": plain}, "POST /x: on_duplicate needs an Idempotency-Key; declare idempotent=True"),
        ({"on_duplicate": too_few, "idempotent": True}, "POST /x: on_duplicate is an `async def` with two parameters"),
        (
            {"on_duplicate": not_async, "idempotent": True},
            "POST /x: on_duplicate is an `async def` with two parameters",
        ),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused_where_it_is_declared(options, said):
    app = App("game", regions=["eu", "us"])
    with pytest.raises(DeclarationError) as refused:

        @app.post("/x", **options)
        async def x() -> None: ...

    assert refused.value.detail.startswith(said)
