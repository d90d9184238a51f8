"""Consuming: one unit per message or batch, attempts that fail, time that runs out, and rights that move."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import pytest

from proa import App
from proa.core import backlog
from proa.core.policy.retry import Retry
from proa.declare.context import Context
from proa.declare.queues import Message
from proa.errors import DeclarationError, Rejected, TryLater
from proa.runtime.events import EntryMended, EntryTorn, MessageFailed, MessageMoved, MessagesAdopted
from proa.runtime.messages import dispatcher, intake
from support.inproc import REGIONS, everybody, take, until
from support.messages import SOON, Order, Total, count, dead, handled, play, send, shop


@dataclass
class Parcel:
    id: str
    region: str
    by: str


def counting(totals, told=None, fails=None):
    """A handler that counts orders, and raises what `fails` says of their ids."""

    async def handle(message: Message[Order]) -> None:
        if told is not None:
            told.append((message.body.id, message.attempt))
        total = await totals.get("all", Total("all"))
        await totals.put(Total("all", total.count + message.body.qty))
        if fails and (error := fails(message)):
            raise error

    return handle


def test_messages_that_collide_over_a_row_each_count_once(tmp_path):
    async def story(s):
        await asyncio.gather(*(send(s, "eu", str(number)) for number in range(40)))
        await until(lambda: len(handled(s)) == 40)
        assert await count(s) == 40

    play(tmp_path, shop(counting, consumer={"concurrency": 8}), story)


def test_a_region_is_told_of_its_own_messages_and_reads_them_in_no_journal(tmp_path):
    async def story(s):
        store, asked = s["eu"].store, []
        journal = store.journal

        async def watched(after, *more):
            asked.append(store.head - after[store.origin])
            return await journal(after, *more)

        store.journal = watched
        for number in range(5):
            await send(s, "eu", str(number))
        await until(lambda: len(handled(s)) == 5)
        assert set(asked) == {0}

    play(tmp_path, shop(counting, regions=["eu"]), story)


def test_a_failed_attempt_leaves_no_trace_but_in_the_history(tmp_path):
    told = []

    async def story(s):
        await send(s, "eu", "a")
        await until(lambda: handled(s))
        assert await count(s) == 1
        assert told == [("a", 1), ("a", 2)]

    def fails(message):
        return ValueError("not yet") if message.attempt == 1 else None

    play(tmp_path, shop(lambda totals: counting(totals, told, fails)), story)


def test_a_poison_message_is_given_up_and_blocks_nothing_else(tmp_path):
    def fails(message):
        return ValueError("poison") if message.body.id == "bad" else None

    async def story(s):
        await send(s, "eu", "bad", *map(str, range(10)))
        await until(lambda: len(handled(s)) == 10 and dead(s))
        (letter,) = dead(s)
        assert (letter.attempts, letter.error, letter.said) == (3, "ValueError", "ValueError: poison")
        assert await count(s) == 10

    play(tmp_path, shop(lambda totals: counting(totals, fails=fails), consumer={"concurrency": 1}), story)


def test_what_is_rejected_is_not_tried_again(tmp_path):
    async def story(s):
        await send(s, "eu", "a")
        await until(lambda: dead(s))
        assert (dead(s)[0].attempts, dead(s)[0].error) == (1, Rejected.code)

    play(tmp_path, shop(lambda totals: counting(totals, fails=lambda _: Rejected("no such customer"))), story)


def test_what_wants_to_be_tried_later_is_not_tried_sooner(tmp_path):
    def fails(message):
        return TryLater("busy", after_s=0.3) if message.attempt == 1 else None

    async def story(s):
        await send(s, "eu", "a")
        await until(lambda: handled(s))
        (failed,) = [event for event in s.events if isinstance(event, MessageFailed)]
        assert 0.3 <= failed.again_in_s < 0.33

    play(tmp_path, shop(lambda totals: counting(totals, fails=fails)), story)


def test_a_delayed_message_waits_for_its_time_and_priorities_go_first(tmp_path):
    told = []

    async def story(s):
        take(s["us"], everybody())
        await send(s, "eu", "later", "five", "zero")
        take(s["eu"], everybody())
        await until(lambda: len(handled(s)) == 3)
        assert [one for one, _ in told] == ["zero", "five", "later"]

    def options(order):
        return {"later": {"delay_s": 0.2}, "zero": {"priority": 0}}.get(order.id, {})

    app = shop(lambda totals: counting(totals, told), consumer={"concurrency": 1}, send_options=options)
    play(tmp_path, app, story, idle=["eu"])


def test_a_run_that_takes_too_long_is_ended_and_its_message_handed_out_again(tmp_path):
    def slow(totals):
        async def handle(message: Message[Order]) -> None:
            await totals.put(Total("all", message.attempt))
            if message.attempt == 1:
                await asyncio.sleep(30)

        return handle

    async def story(s):
        await send(s, "eu", "a")
        await until(lambda: handled(s))
        assert await count(s) == 2

    play(tmp_path, shop(slow, consumer={"visibility_s": 0.1}), story)


def test_a_heartbeat_gives_a_run_more_time(tmp_path):
    def slow(totals):
        async def handle(message: Message[Order]) -> None:
            for _ in range(4):
                await asyncio.sleep(0.15)
                message.heartbeat()
            await totals.put(Total("all", message.attempt))

        return handle

    async def story(s):
        await send(s, "eu", "a")
        await until(lambda: handled(s))
        assert await count(s) == 1

    play(tmp_path, shop(slow, consumer={"visibility_s": 0.4}), story)


def test_a_heartbeat_says_what_is_left_also_before_the_run_first_waits(tmp_path):
    left = []

    def slow(totals):
        async def handle(message: Message[Order], ctx: Context) -> None:
            message.heartbeat(0.1 if message.attempt == 1 else 60)
            left.append(ctx.remaining_s())
            await asyncio.sleep(0.2)
            await totals.put(Total("all", message.attempt))

        return handle

    async def story(s):
        await send(s, "eu", "a")
        await until(lambda: handled(s))
        assert await count(s) == 2

    play(tmp_path, shop(slow, consumer={"visibility_s": 0.15}), story)
    first, second = left
    assert first <= 0.1
    assert 59 < second <= 60


def test_a_batch_is_one_unit_and_what_fails_in_it_is_tried_again_alone(tmp_path):
    batches = []

    def batched(totals):
        async def handle(batch: list[Message[Order]], ctx: Context) -> None:
            batches.append(Counter(message.body.id for message in batch))
            total = await totals.get("all", Total("all"))
            done = [message for message in batch if message.body.id != "bad" or message.attempt > 1]
            await totals.put(Total("all", total.count + len(done)))
            for message in batch:
                if message not in done:
                    message.fail("not yet")
            assert ctx.remaining_s() > 0

        return handle

    async def story(s):
        await send(s, "eu", "a", "bad", "b")
        take(s["eu"], everybody())
        await until(lambda: len(handled(s)) == 3)
        assert batches == [Counter("ab") + Counter(["bad"]), Counter(["bad"])]
        assert await count(s) == 3

    play(tmp_path, shop(batched, consumer={"batch": 10}), story, idle=["eu"])


def test_a_batch_that_raises_is_taken_apart(tmp_path):
    sizes = []

    def batched(totals):
        async def handle(batch: list[Order]) -> None:
            sizes.append(len(batch))
            if any(order.id == "bad" for order in batch):
                raise ValueError("bad")
            total = await totals.get("all", Total("all"))
            await totals.put(Total("all", total.count + len(batch)))

        return handle

    async def story(s):
        await send(s, "eu", "a", "bad", "b")
        take(s["eu"], everybody())
        await until(lambda: len(handled(s)) == 2 and dead(s))
        assert sizes[:4] == [3, 1, 1, 1]
        assert await count(s) == 2

    play(tmp_path, shop(batched, consumer={"batch": 10, "concurrency": 1}), story, idle=["eu"])


def test_messages_of_a_group_are_handled_in_order_though_one_of_them_fails(tmp_path):
    told = []

    def fails(message):
        return ValueError("not yet") if (message.body.id, message.attempt) == ("a0", 1) else None

    async def story(s):
        await send(s, "eu", "a0", "a1", "b0", "a2", "b1")
        await until(lambda: len(handled(s)) == 5)
        in_order = list(dict.fromkeys(told))
        assert [one for one in in_order if one[0].startswith("a")] == [("a0", 1), ("a0", 2), ("a1", 1), ("a2", 1)]
        assert [one for one in in_order if one[0].startswith("b")] == [("b0", 1), ("b1", 1)]

    app = shop(
        lambda totals: counting(totals, told, fails),
        queue={"groups": True},
        send_options=lambda order: {"group": order.id[0]},
    )
    play(tmp_path, app, story)


def test_a_full_queue_refuses_its_senders_until_there_is_room(tmp_path):
    async def story(s):
        await s["eu"].messages.pause("orders", "for a while", "anna")
        await until(lambda: s["eu"].messages.intakes["orders"].paused)
        await send(s, "eu", "a", "b")
        await until(lambda: s["eu"].messages.depth("orders", "eu") == 2)
        refused = await s.request("eu", "POST", "/orders", Order("c"))
        assert (refused.status, dict(refused.headers)["retry-after"]) == (429, "60")
        await s["eu"].messages.pause("orders", "", "anna")
        await until(lambda: len(handled(s)) == 2 and s["eu"].messages.depth("orders", "eu") == 0)
        await send(s, "eu", "c")

    play(tmp_path, shop(counting, queue={"depth_max": 2}), story)


def rotting(store, damaged):
    """Let bits flip in the newest entry of another origin before the next time that the journal is read."""
    read, left = store.journal, [damaged]

    async def journal(after, limit, *more):
        while left and (sound := (await store.repairs.entries(left)).get(left[0])):
            await store.repairs.replace_entries({left.pop(): b"\xc1" + sound[1:]})
        return await read(after, limit, *more)

    store.journal = journal


def test_what_a_damaged_entry_tells_of_a_queue_is_found_in_the_rows_and_what_follows_it_is_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatcher, "IDLE_S", 0.05)

    async def story(s):
        eu, us = s["eu"].messages, s["us"].messages.intakes["orders"]
        rotting(s["us"].store, ("eu/1", 1))
        await eu.pause("orders", "for a while", "anna")
        await until(lambda: us.paused == "for a while")
        await until(lambda: any(isinstance(event, EntryMended) for event in s.events))
        assert [(event.origin, event.seq) for event in s.events if isinstance(event, EntryTorn)] == [("eu/1", 1)]
        await eu.pause("orders", "", "anna")
        await until(lambda: not us.paused)

    play(tmp_path, shop(), story)


def test_what_arrives_while_rows_take_long_to_be_read_is_handed_out_and_nothing_counts_as_looked_at(tmp_path):
    async def story(s):
        eu, go_on, read = s["eu"].messages, asyncio.Event(), s["eu"].store.query
        await eu.pause("orders", "until all are sent", "anna")
        await send(s, "eu", "a", "b")

        async def slow(span):
            found = await read(span)
            await go_on.wait()
            return found

        s["eu"].store.query = slow
        looking = [asyncio.create_task(eu.intakes["orders"].reload()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not eu.acts_for("eu")
        await send(s, "eu", "c")
        go_on.set()
        await asyncio.gather(*looking)
        assert (eu.acts_for("eu"), eu.depth("orders", "eu")) == (True, 3)
        await eu.pause("orders", "", "anna")
        await until(lambda: len(handled(s)) == 3)

    play(tmp_path, shop(counting), story)


def test_a_pause_counts_in_every_region_and_after_a_restart(tmp_path):
    async def story(s):
        await s["us"].messages.pause("orders", "for a while", "anna")
        await until(lambda: s["eu"].messages.intakes["orders"].paused == "for a while")
        await s.stop("eu")
        take(await s.start("eu"), everybody())
        await until(lambda: s["eu"].messages.intakes["orders"].paused)
        await send(s, "eu", "a")
        await s["us"].messages.pause("orders", "", "anna")
        await until(lambda: handled(s))

    play(tmp_path, shop(counting), story)


def test_a_brake_holds_the_consumer_while_it_says_so(tmp_path):
    held = [True]

    async def story(s):
        await send(s, "eu", "a")
        await asyncio.sleep(0.1)
        assert handled(s) == []
        held.clear()
        await until(lambda: handled(s))

    play(tmp_path, shop(counting, consumer={"brake": lambda: 0.02 if held else 0.0}), story)


def test_a_message_under_way_when_its_process_ended_counts_as_an_attempt(tmp_path):
    told = []

    def hanging(totals):
        async def handle(message: Message[Order]) -> None:
            told.append(message.attempt)
            if message.attempt < 3:
                await asyncio.sleep(3600)

        return handle

    async def story(s):
        await until(lambda: s["eu"].messages.intakes["orders"].homes)
        await send(s, "eu", "a")
        for number in range(1, 4):
            await until(lambda number=number: len(told) == number)
            await s.stop("eu")
            take(await s.start("eu"), everybody())
        await until(lambda: handled(s) or dead(s))
        assert told == [1, 1, 2, 3]  # the first start did not know of the run before it
        assert len(handled(s)) == 1

    app = shop(hanging, queue={"retry": Retry(attempts=9, base_s=0.01, cap_s=0.01)})
    play(tmp_path, app, story)


def test_a_stand_in_adopts_the_messages_of_a_lost_region(tmp_path):
    async def story(s):
        await s["eu"].messages.pause("orders", "for a while", "anna")
        await until(lambda: s["eu"].messages.intakes["orders"].paused)
        await send(s, "eu", "a", "b", "c")
        await s.settled()
        head = s["eu"].store.head
        await s.stop("eu")
        await s["us"].messages.pause("orders", "", "anna")
        assert handled(s) == []
        take(s["us"], everybody(2, lost=["eu"], cuts=[("eu/1", head, 2)]))
        s["us"].authority.took_over(2)
        await until(lambda: len(handled(s)) == 3)
        assert await count(s, region="us") == 3
        (adopted,) = [event for event in s.events if isinstance(event, MessagesAdopted)]
        assert (adopted.region, adopted.count) == ("eu", 3)

    play(tmp_path, shop(counting), story)


def test_nobody_hands_out_messages_without_a_right_to(tmp_path):
    async def story(s):
        await send(s, "eu", "a")
        await asyncio.sleep(0.2)
        assert handled(s) == []
        take(s["eu"], everybody())
        await until(lambda: handled(s))

    play(tmp_path, shop(counting), story, idle=["eu"])


def test_many_messages_are_handled_out_of_a_window_of_some(tmp_path, monkeypatch):
    monkeypatch.setattr(backlog, "WINDOW", 100)
    monkeypatch.setattr(intake, "PAGE", 50)

    async def story(s):
        await s["eu"].messages.pause("orders", "until all are sent", "anna")
        waiting = s["eu"].messages.intakes["orders"]
        await until(lambda: waiting.paused)
        for first in range(0, 1000, 500):
            await s.request("eu", "POST", "/many", {"id": str(first), "qty": 500})
        await until(lambda: waiting.homes["eu"].depth == 1000)
        await waiting.reload()
        window = waiting.homes["eu"].window("5")
        assert (len(window._known), window.beyond, len(window)) == (50, 950, 1000)
        await s["eu"].messages.pause("orders", "", "anna")
        await until(lambda: len(handled(s)) == 1000)
        assert (waiting.homes["eu"].depth, len(set(handled(s)))) == (0, 1000)

    app = shop(quiet, consumer={"batch": 20}, regions=["eu"])

    @app.post("/many")
    async def place(order: Order) -> None:
        for number in range(order.qty):
            await app.queues["orders"].send(Order(f"{order.id}-{number}"))

    play(tmp_path, app, story)


def quiet(_):
    async def handle(batch: list[Order]) -> None: ...

    return handle


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda app: app.queue("a b", Order), "must be identifiers"),
        (lambda app: [app.queue("orders", Order), app.queue("orders", Order)], "declared twice"),
        (lambda app: app.queue("orders", Order, depth_max=0), "depth_max must be positive"),
        (lambda app: app.queue("orders", Order, residency=["mars"]), "mars, no region of the app"),
        (lambda app: app.queue("orders", Order).consumer(concurrency=0)(of_one), "must be positive"),
        (lambda app: app.queue("orders", Order).consumer(batch=5)(of_one), "takes a list declares `batch`"),
        (lambda app: app.queue("orders", Order).consumer()(of_many), "takes a list declares `batch`"),
        (lambda app: app.queue("orders", Order).consumer()(lambda order: order), "`async def` of a message"),
        (lambda app: twice(app.queue("orders", Order)), "two consumers"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declare, why):
    with pytest.raises(DeclarationError, match=why):
        declare(App("shop", regions=["eu"]))


async def of_one(order: Order) -> None: ...


async def of_many(orders: list[Order]) -> None: ...


def twice(queue):
    queue.consumer()(of_one)
    queue.consumer()(of_one)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"delay_s": -1}, "delay_s must be 0 to"),
        ({"priority": 10}, "priority must be 0 to 9"),
        ({"group": "a"}, "has no groups"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(tmp_path, options, why):
    async def story(s):
        answer = await s.request("eu", "POST", "/orders", Order("a"))
        assert answer.status == 422
        assert why in answer.body.decode()

    play(tmp_path, shop(counting, send_options=lambda _: options), story)


def test_a_message_that_is_too_large_is_refused_before_anything_is_written(tmp_path):
    async def story(s):
        answer = await s.request("eu", "POST", "/orders", Order("x" * 300_000))
        assert (answer.status, s["eu"].store.head) == (413, 0)

    play(tmp_path, shop(counting), story)


# Rows with a home.


async def directly(put):
    await put


async def in_a_task_group(put):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(put)


async def against_all_rules(put):
    with suppress(BaseException):
        await put


@pytest.mark.parametrize("write", [directly, in_a_task_group, against_all_rules])
def test_a_message_moves_to_the_home_of_the_row_that_its_handler_writes(tmp_path, write):
    app = App("shop", regions=REGIONS)
    parcels = app.table("parcels", Parcel, key="id", mode="home", home="region")
    orders = app.queue("orders", Order, retry=SOON)

    @app.post("/orders")
    async def place(order: Order) -> str:
        return await orders.send(order)

    @orders.consumer()
    async def handle(order: Order, ctx: Context) -> None:
        await write(parcels.put(Parcel(order.id, "us", by=ctx.region)))

    async def story(s):
        (message,) = await send(s, "eu", "a")
        await until(lambda: handled(s))
        moves = [(event.message, event.region, event.to) for event in s.events if isinstance(event, MessageMoved)]
        (row,) = await s["us"].store.read([("parcels", "a")])
        assert (moves, handled(s)) == ([(message, "eu", "us")], [message])
        assert parcels.decode(row.value) == Parcel("a", "us", by="us")

    play(tmp_path, app, story)
