"""Events on real stores: each subscription has a message of its own, in the emitter's commit."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from proa import App, Context, Retry
from proa.core.roles import Assignment
from proa.declare import cloudevents
from proa.declare.queues import Message
from proa.errors import EventIncompatible, NotFound, Unprocessable
from proa.runtime.event_log import SWEEP_S, Wanted
from proa.runtime.events import MessageDead, MessageHandled
from proa.simulation import World, simulated
from support.inproc import system, until
from support.ways import NEVER_S, in_every_way

REGIONS = ["eu", "us"]


@dataclass
class Order:
    id: str
    total: int = 0
    address: dict[str, str] = field(default_factory=dict)


@dataclass
class Total:
    """What a subscription needs of an order, and something it may have one day."""

    id: str
    total: int
    coupon: str = "none"


@dataclass
class Stock:
    sku: str
    left: int = 0


class Told:
    def __init__(self):
        self.got = []

    def of(self, name):
        return [one for by, one in self.got if by == name]


def shop(told):
    app = App("shop", regions=REGIONS)
    stock = app.table("stock", Stock, key="sku", mode="strong")
    placed = app.event("order.placed", Order)

    @placed.on
    async def mail(order: Order) -> None:
        told.got.append(("mail", order.id))

    @placed.on(retry=Retry(attempts=2, base_s=0.01))
    async def analytics(order: Order) -> None:
        raise ValueError("the provider is down")

    @placed.on(filter={"total": {"above": 100}})
    async def fraud(order: Total) -> None:
        told.got.append(("fraud", (order.id, order.total, order.coupon)))

    @placed.on(deliver="everywhere", name="caches")
    async def drop_from_cache(message: Message[Order]) -> None:
        told.got.append(("caches", (message.body.id, message.region)))

    @placed.on(batch=10)
    async def sum_up(messages: list[Message[Order]]) -> None:
        told.got += [("sums", cloudevents.of(message)) for message in messages]

    @placed.on(name="odd", filter=lambda order: int(order.id) % 2)
    async def only_odd(order: Order) -> None:
        told.got.append(("odd", order.id))

    @app.post("/orders", idempotent="optional")
    async def place(order: Order) -> str:
        return await placed.emit(order, subject=order.id)

    @app.post("/refused", idempotent="optional")
    async def refuse(order: Order) -> str:
        await placed.emit(order)
        raise Unprocessable("after all")

    @app.post("/stock", idempotent=True)
    async def sell(order: Order) -> str:
        await stock.put(Stock(order.id))
        return await placed.emit(order)

    return app


def run(folder, scenario):
    told = Told()

    async def main():
        async with system(shop(told), folder) as running:
            assume(running)
            await scenario(running, told)

    asyncio.run(main())


def assume(s, epoch=1, regions=REGIONS):
    assignment = Assignment(
        epoch, "active-active", dict.fromkeys(REGIONS, "standby") | dict.fromkeys(regions, "active")
    )
    for region in s.regions.values():
        region.assume(assignment, s.clock.monotonic() + 60)


def waiting(s):
    """How many messages there are in any region."""
    count = "SELECT count(*) FROM rows WHERE tbl = ':messages' AND value IS NOT NULL"
    return sum(region.store._reader.execute(count).fetchone()[0] for region in s.regions.values())


async def quiet(s):
    """Everything that was sent is handled."""
    await s.settled()
    await until(lambda: waiting(s) == 0)


def test_each_subscription_has_the_event_once_and_one_that_fails_delays_no_other(tmp_path):
    async def scenario(s, told):
        answer = await s.request("eu", "POST", "/orders", Order("17", 250))
        id_ = msgspec.json.decode(answer.body)
        await until(lambda: any(isinstance(event, MessageDead) for event in s.events) and told.of("sums"))
        await quiet(s)
        assert told.of("mail") == ["17"]
        assert told.of("odd") == ["17"]
        assert told.of("fraud") == [("17", 250, "none")]
        assert sorted(told.of("caches")) == [("17", "eu"), ("17", "us")]
        (event,) = told.of("sums")
        assert (event.id, event.type, event.source, event.subject) == (id_, "order.placed", "/shop/eu", "17")
        assert event.data == {"id": "17", "total": 250, "address": {}}
        assert cloudevents.from_json(cloudevents.to_json(event)) == event
        (dead,) = [event for event in s.events if isinstance(event, MessageDead)]
        assert (dead.queue, dead.attempts) == ("order.placed.analytics", 2)

    run(tmp_path, scenario)


def test_what_a_filter_does_not_want_is_sent_nowhere(tmp_path):
    async def scenario(s, told):
        await s.request("eu", "POST", "/orders", Order("18", 100))
        await until(lambda: told.of("mail"))
        await quiet(s)
        assert (told.of("fraud"), told.of("odd")) == ([], [])
        handled = {event.queue for event in s.events if isinstance(event, MessageHandled)}
        assert handled == {f"order.placed.{name}" for name in ("mail", "caches", "sum_up")}

    run(tmp_path, scenario)


def test_an_event_on_which_a_filter_fails_is_left_to_the_handler(tmp_path):
    async def scenario(s, told):
        assert (await s.request("eu", "POST", "/orders", Order("x"))).status == 200
        await until(lambda: told.of("odd"))
        assert told.of("odd") == ["x"]

    run(tmp_path, scenario)


def test_a_unit_that_does_not_commit_has_told_nobody(tmp_path):
    async def scenario(s, told):
        assert (await s.request("eu", "POST", "/refused", Order("1"))).status == 422
        await s.request("eu", "POST", "/orders", Order("2"))
        await until(lambda: told.of("mail"))
        await quiet(s)
        assert told.of("mail") == ["2"]

    run(tmp_path, scenario)


def test_a_global_unit_tells_through_the_global_store(tmp_path):
    async def scenario(s, told):
        assert (await s.request("us", "POST", "/stock", Order("3"), key="k")).status == 200
        await until(lambda: told.of("mail") and len(told.of("caches")) == 2)
        await quiet(s)
        assert told.of("mail") == ["3"]
        assert sorted(told.of("caches")) == [("3", "eu"), ("3", "us")]

    run(tmp_path, scenario)


def test_a_message_of_a_lost_region_is_adopted_where_one_region_handles_it_and_waits_where_each_does(tmp_path):
    async def scenario(s, told):
        for region in s.regions.values():
            for queue in ("mail", "caches"):
                await region.messages.pause(f"order.placed.{queue}", "to wait", "test")
        await until(lambda: all(r.messages.intakes["order.placed.mail"].paused for r in s.regions.values()))
        await s.request("eu", "POST", "/orders", Order("5"))
        await s.settled()
        await s.stop("eu")
        assume(s, 2, ["us"])
        s["us"].authority.took_over(2)
        for queue in ("mail", "caches"):
            await s["us"].messages.pause(f"order.placed.{queue}", "", "test")
        await until(lambda: told.of("mail") and told.of("caches"))
        await asyncio.sleep(0.2)
        assert told.of("mail") == ["5"]
        assert told.of("caches") == [("5", "us")]
        await s.start("eu")
        await s.settled()
        assume(s, 3)
        for region in s.regions.values():
            region.authority.took_over(3)
        await until(lambda: len(told.of("caches")) == 2)
        await quiet(s)
        assert told.of("caches") == [("5", "us"), ("5", "eu")]
        assert told.of("mail") == ["5"]

    run(tmp_path, scenario)


# Replays.


def wanted(s, to, **more):
    defaults = {"since": 0.0, "until": s.clock.now() + 1, "replay": "r1"}
    return Wanted(**{"event": "order.placed", "to": to, **defaults, **more})


def test_events_of_a_time_are_replayed_to_one_subscription_under_their_ids(tmp_path):
    async def scenario(s, told):
        for number in range(4):
            await s.request("eu", "POST", "/orders", Order(str(number)))
        await s.request("us", "POST", "/stock", Order("4"), key="k")
        await until(lambda: [len(told.of(name)) for name in ("sums", "mail", "caches")] == [5, 5, 10])
        await quiet(s)
        ids = sorted(event.id for event in told.of("sums"))
        told.got.clear()
        log = s["us"].events
        assert await log.replay(wanted(s, "sum_up", dry_run=True)) == msgspec.structs.replace(
            await log.replay(wanted(s, "order.placed.sum_up")), next=""
        )
        await until(lambda: len(told.of("sums")) == 5)
        await quiet(s)
        assert sorted(event.id for event in told.of("sums")) == ids
        assert told.got == [("sums", event) for event in told.of("sums")]

    run(tmp_path, scenario)


def test_a_page_that_is_asked_for_twice_is_sent_once(tmp_path):
    async def scenario(s, told):
        for number in range(5):
            await s.request("eu", "POST", "/orders", Order(str(number), 500))
        await until(lambda: len(told.of("fraud")) == 5)
        log, told.got = s["eu"].events, []
        pages = [await log.replay(wanted(s, "fraud", limit=2)) for _ in range(4)]
        assert [(page.seen, page.sent, bool(page.next)) for page in pages] == [
            (2, 2, True),
            (4, 4, True),
            (5, 5, False),
            (5, 5, False),
        ]
        await until(lambda: len(told.of("fraud")) == 5)
        await quiet(s)
        assert sorted(one[0] for one in told.of("fraud")) == ["0", "1", "2", "3", "4"]

    run(tmp_path, scenario)


def test_only_what_the_subscription_wants_and_the_time_spans_is_replayed(tmp_path):
    async def scenario(s, told):
        await s.request("eu", "POST", "/orders", Order("0", 500))
        await asyncio.sleep(0.01)
        between = s.clock.now()
        for number in range(1, 4):
            await s.request("eu", "POST", "/orders", Order(str(number), 500 * (number % 2)))
        replayed = await s["eu"].events.replay(wanted(s, "fraud", since=between))
        assert (replayed.seen, replayed.sent) == (3, 2)
        assert (await s["eu"].events.replay(wanted(s, "fraud", until=between, replay="r2"))).seen == 1
        with pytest.raises(NotFound, match="no subscription 'nobody'"):
            await s["eu"].events.replay(wanted(s, "nobody"))

    run(tmp_path, scenario)


def test_events_are_dropped_when_nobody_may_replay_them_any_more(tmp_path):
    async def scenario(s, told):
        await s.request("eu", "POST", "/orders", Order("1"))
        await s.settled()
        event = s.app.events["order.placed"]
        event.retention_s = -SWEEP_S - 1
        for region in s.regions.values():
            await region.events._sweep(event)
        replayed = await s["eu"].events.replay(wanted(s, "mail"))
        assert replayed.seen == 0

    run(tmp_path, scenario)


# What events look like.


@dataclass
class Priced:
    id: str
    currency: str


@dataclass
class PricedSome:
    id: str
    currency: str = "EUR"


def versioned(kind, told, **options):
    app = App("shop", regions=["eu"])
    placed = app.event("placed", kind, **options)

    @placed.on
    async def take(body: kind) -> None:
        told.append(body)

    @app.post("/orders", idempotent="optional")
    async def place(body: kind) -> None:
        await placed.emit(body)

    return app


@dataclass
class Plain:
    id: str


def play(folder, app, scenario):
    async def main():
        async with system(app, folder) as s:
            await scenario(s)

    asyncio.run(main())


async def emit(s):
    await s.request("eu", "POST", "/orders", Plain("1"))


async def handle(s):
    s["eu"].assume(Assignment(1, "active-active", {"eu": "active"}), s.clock.monotonic() + 60)
    await until(lambda: any(isinstance(event, MessageHandled) for event in s.events))


def test_an_older_event_is_read_with_defaults(tmp_path):
    told = []
    play(tmp_path, versioned(Plain, told), emit)
    play(tmp_path, versioned(PricedSome, told), handle)
    assert told == [PricedSome("1", "EUR")]


def test_a_newer_event_is_read_without_what_is_unknown(tmp_path):
    told = []

    async def emit_newer(s):
        await s.request("eu", "POST", "/orders", PricedSome("1", "CHF"))

    play(tmp_path, versioned(PricedSome, told, version=2), emit_newer)
    play(tmp_path, versioned(Plain, told), handle)
    assert told == [Plain("1")]


def test_a_change_that_makes_older_events_unreadable_is_refused_at_the_start(tmp_path):
    play(tmp_path, versioned(Plain, []), emit)
    for options in ({}, {"version": 2}):
        with pytest.raises(EventIncompatible, match="`currency` is required, and was not there before"):
            play(tmp_path, versioned(Priced, [], **options), handle)


def test_an_upgrade_makes_older_events_readable(tmp_path):
    told = []
    play(tmp_path, versioned(Plain, told), emit)
    upgrade = {"version": 2, "upgrade": lambda fields, version: fields | {"currency": f"of version {version}"}}
    play(tmp_path, versioned(Priced, told, **upgrade), handle)
    assert told == [Priced("1", "of version 1")]


# Emitting from whatever writes.


def relayed(told, every_s=NEVER_S):
    """An app in which every sort of unit emits `placed` for an order that it is given."""
    app = App("shop", regions=REGIONS)
    placed = app.event("placed", Order)

    @placed.on
    async def note(order: Order, ctx: Context) -> None:
        told.append((order.id, ctx.region))

    async def emit_placed(order: Order) -> None:
        await placed.emit(order)

    in_every_way(app, Order, emit_placed, Order("tick"), every_s)
    return app


@simulated
@pytest.mark.parametrize("way", ["message", "event", "change", "saga"])
async def test_consumers_subscriptions_changes_and_steps_emit_with_their_commit(way):
    told = []
    async with World(relayed(told)) as world:
        assert (await world["us"].post(f"/by/{way}", {"id": way})).status == 204
        await asyncio.sleep(5)
    assert told == [(way, "us")]


@simulated
async def test_ticks_emit_with_their_commit():
    told = []
    async with World(relayed(told, every_s=20)):
        await asyncio.sleep(25)
    assert [id_ for id_, _ in told] in (["tick"], ["tick", "tick"])
