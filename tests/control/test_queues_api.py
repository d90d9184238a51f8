"""The queues' part of the control API: figures, pauses, and dead letters, audited."""

import asyncio

from test_tables_api import Town

from proa.control.audit import read_log
from proa.declare.queues import Message
from proa.errors import Rejected
from support.inproc import everybody, system, take, until
from support.messages import Order, dead, handled, send, shop


class Desk(Town):
    part = "queues"


def refusing(mood):
    def made(_totals):
        async def handle(message: Message[Order]) -> None:
            if mood:
                raise Rejected(f"{message.body.id} is refused")

        return handle

    return made


def play(folder, story):
    mood = [True]

    async def main():
        async with system(shop(refusing(mood)), folder) as s:
            for region in s.regions.values():
                take(region, everybody())
            await story(s, await Desk(s).hire(), mood)

    asyncio.run(main())


async def died(s, *ids):
    sent = await send(s, "eu", *ids)
    await until(lambda: len(dead(s)) == len(ids))
    await s.settled()
    return sent


async def finished(desk, region, job):
    async with asyncio.timeout(10):
        while True:
            _, said = await desk.call(region, "GET", "orders/dead/jobs")
            (one,) = [one for one in said["jobs"] if one["id"] == job]
            if one["state"] != "running":
                return one
            await asyncio.sleep(0.01)


async def audited(s):
    entries, _ = await read_log(s.store)
    return [dated.entry.action for dated in entries]


def test_a_region_tells_of_the_queues_that_it_acts_for(tmp_path):
    async def story(s, desk, _):
        await until(lambda: s["eu"].messages.intakes["orders"].homes)
        status, said = await desk.call("eu", "GET", "", who="viewer")
        (one,) = said["queues"]
        assert (status, one["queue"], one["home"], one["depth"], one["paused"]) == (200, "orders", "eu", 0, "")

    play(tmp_path, story)


def test_operators_pause_and_resume_a_queue_everywhere_and_viewers_do_not(tmp_path):
    async def story(s, desk, mood):
        mood.clear()
        assert (await desk.call("us", "POST", "orders/pause", {"why": "provider gone"}, who="viewer"))[0] == 403
        assert (await desk.call("us", "POST", "orders/pause", {"why": "provider gone"}))[1]["state"] == "paused"
        await until(lambda: s["eu"].messages.intakes["orders"].paused == "provider gone")
        await send(s, "eu", "a")
        await until(lambda: s["eu"].messages.depth("orders", "eu") == 1)
        await desk.call("us", "POST", "orders/resume")
        await until(lambda: handled(s))
        assert {"queue to be paused", "queue to be resumed"} <= set(await audited(s))

    play(tmp_path, story)


def test_letters_are_shown_edited_and_sent_back(tmp_path):
    async def story(s, desk, mood):
        message, _ = await died(s, "a", "b")
        _, page = await desk.call("us", "POST", "orders/dead", {"fields": {"id": "a"}}, who="viewer")
        assert [letter["message"] for letter in page["letters"]] == [message]
        assert (await desk.call("eu", "GET", f"orders/dead/{message}", who="viewer"))[1]["error"] == Rejected.code
        edited = {"body": {"id": "a", "qty": 7}, "why": "typo"}
        assert (await desk.call("eu", "PUT", f"orders/dead/{message}", edited))[1]["body"] == {"id": "a", "qty": 7}
        mood.clear()
        _, counted = await desk.call("eu", "POST", "orders/dead/redrive", {"dry": True}, who="viewer")
        assert counted == {"letters": 2, "looked_at": 2, "next": ""}
        _, job = await desk.call("eu", "POST", "orders/dead/redrive", {"why": "mended"})
        assert (await finished(desk, "eu", job["id"]))["moved"] == 2
        await until(lambda: len(handled(s)) == 2)
        assert {"dead letter to be edited", "dead letters to redrive"} <= set(await audited(s))

    play(tmp_path, story)


def test_letters_are_purged_by_operators_only(tmp_path):
    async def story(s, desk, _):
        await died(s, "a")
        assert (await desk.call("eu", "POST", "orders/dead/purge", {}, who="viewer"))[0] == 403
        _, job = await desk.call("eu", "POST", "orders/dead/purge", {"why": "test data"})
        assert (await finished(desk, "eu", job["id"]))["moved"] == 1
        assert (await desk.call("eu", "POST", f"orders/dead/cancel/{job['id']}"))[1]["state"] == "done"

    play(tmp_path, story)


def test_what_makes_no_sense_is_refused_with_what_does(tmp_path):
    async def story(_s, desk, _):
        refused = {
            ("POST", "receipts/pause"): (404, "there is no queue 'receipts'; there are orders"),
            ("GET", "orders/dead/nothing"): (404, "has no dead letter 'nothing'"),
            ("POST", "orders/dead/cancel/nothing"): (404, "has no job 'nothing'"),
            ("DELETE", "orders"): (404, "has no DELETE of 'orders'"),
            ("DELETE", "orders/dead"): (404, "has no DELETE"),
        }
        for (method, path), (status, said) in refused.items():
            answer = await desk.call("eu", method, path)
            assert (answer[0], said in answer[1]["detail"]) == (status, True), answer
        answer = await desk.call("eu", "POST", "orders/dead/redrive", {"to": "mars"})
        assert (answer[0], answer[1]["detail"]) == (422, "there is no region 'mars'")

    play(tmp_path, story)
