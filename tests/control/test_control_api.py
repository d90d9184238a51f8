"""The control API as its callers see it: ASGI in, JSON and problem+json out."""

import asyncio

import msgspec
import pytest

from proa.control import operators
from proa.control.api import BODY_MAX, FAILURES_MAX, WINDOW_S, ControlApi
from support.control_town import EU, US, WITNESS, SeededEntropy, Town


class Caller:
    """One client of one region's control API."""

    def __init__(self, town, region=US):
        self.api = ControlApi(region, town.desks[region]._parts)
        self.tokens = {}

    async def hire(self, town):
        for name, role in (("ann", "approver"), ("ben", "approver"), ("olga", "operator"), ("vic", "viewer")):
            self.tokens[name] = await operators.add(town.store, name, role, SeededEntropy(name), "setup")
        return self

    async def call(self, who, method, path, body=None, raw=None):
        sent, token = [], self.tokens.get(who, who)
        content = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {
            "type": "http",
            "method": method,
            "path": f"/_proa/control{path}",
            "headers": headers,
            "client": ("127.0.0.1", 5),
        }

        async def receive():
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message):
            sent.append(message)

        await self.api(scope, receive, send)
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


def waiting(town):
    return lambda: town.plan is not None and town.plan.step == "gate"


def play(story, **rules):
    async def main():
        town = await Town(**rules).start()
        await story(town, await Caller(town).hire(town))

    asyncio.run(main())


def test_a_fail_over_is_requested_by_one_person_approved_by_another_and_followed_to_its_end():
    async def story(town, caller):
        status, plan = await caller.call("olga", "POST", "/plans", {"reason": "rehearsal"})
        assert (status, plan["step"], plan["lost"], plan["target"]) == (200, "request", EU, US)
        await town.run(1.0, waiting(town))
        _, shown = await caller.call("vic", "GET", "/status")
        assert (shown["plan"]["awaiting"], shown["verdicts"]) == ("approval", {EU: "healthy", US: "healthy"})
        status, _ = await caller.call(
            "ann", "POST", f"/plans/{plan['id']}/approve", {"digest": shown["plan"]["digest"]}
        )
        assert status == 200
        assert await town.run(5.0, lambda: town.plan.step == "done")
        _, shown = await caller.call("vic", "GET", "/status")
        assert shown["assignment"]["roles"][US] == "active"
        assert [phase["phase"] for phase in shown["plan"]["timeline"]][-1] == "verify"
        _, log = await caller.call("vic", "GET", "/audit")
        assert log["intact"] is True
        assert ("olga", "request") in [(entry["by"], entry["action"]) for entry in log["entries"]]
        _, plans = await caller.call("vic", "GET", "/plans")
        assert [found["id"] for found in plans["plans"]] == [plan["id"]]

    play(story)


def test_the_requester_may_not_approve_and_a_changed_plan_is_not_what_was_shown():
    async def story(town, caller):
        _, plan = await caller.call("ann", "POST", "/plans", {})
        await town.run(1.0, waiting(town))
        path = f"/plans/{plan['id']}/approve"
        assert (await caller.call("ann", "POST", path))[1]["code"] == "PROA-C003"
        assert (await caller.call("ben", "POST", path, {"digest": "0" * 16}))[1]["code"] == "PROA-C003"
        assert (await caller.call("ben", "POST", path))[0] == 200
        assert (await caller.call("ben", "POST", path))[1]["code"] == "PROA-C003"

    play(story)


def test_an_unknown_loss_is_unsafe_until_a_number_is_accepted():
    async def story(town, caller):
        town.kill(EU)
        assert await town.run(5.0, waiting(town))
        path = f"/plans/{town.plan.id}/approve"
        status, problem = await caller.call("ann", "POST", path)
        assert (status, problem["code"]) == (409, "PROA-C002")
        _, plan = await caller.call("ann", "POST", path, {"accept_lost": 0})
        assert plan["approval"]["by"] == "ann"

    play(story)


def test_a_second_plan_is_refused_while_one_is_open_and_an_abort_makes_room():
    async def story(town, caller):
        _, plan = await caller.call("olga", "POST", "/plans", {})
        assert (await caller.call("olga", "POST", "/plans", {}))[1]["code"] == "PROA-C001"
        _, off = await caller.call("olga", "POST", f"/plans/{plan['id']}/abort", {"reason": "not today"})
        assert (off["step"], off["reason"]) == ("aborted", "not today")
        assert (await caller.call("olga", "POST", "/plans", {}))[0] == 200

    play(story)


@pytest.mark.parametrize("body", [b"{", b'{"reason": "caf\xe9"}'])
def test_a_body_that_is_no_json_is_a_problem_of_the_caller(body):
    async def story(town, caller):
        assert (await caller.call("olga", "POST", "/plans", raw=body))[0] == 400

    play(story)


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("", "GET", "/status", 401),
        ("ann.wrong", "GET", "/status", 401),
        ("vic", "POST", "/plans", 403),
        ("olga", "POST", "/plans/000001/approve", 403),
        ("olga", "POST", "/ends", 403),
        ("vic", "GET", "/nothing", 404),
        ("ann", "POST", "/plans/000009/approve", 404),
        ("ann", "DELETE", "/plans", 405),
        ("ann", "POST", "/failback", 409),
    ],
)
def test_who_may_not_or_asks_wrongly_gets_a_problem(who, method, path, status):
    async def story(town, caller):
        got, problem = await caller.call(who, method, path)
        assert (got, problem["status"], problem["code"][:6]) == (
            status,
            status,
            "PROA-H" if status != 409 else "PROA-C",
        )
        assert caller.headers["content-type"] == "application/problem+json"

    play(story)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"lost": 5}', 422),
        (b'{"unknown": 1}', 422),
        (b'{"accept_lost": -1}', 422),
        (b'{"lost": "mars"}', 422),
        (b" " * (BODY_MAX + 1), 413),
    ],
)
def test_bad_bodies_are_refused_with_a_reason(raw, status):
    async def story(town, caller):
        assert (await caller.call("olga", "POST", "/plans", raw=raw))[0] == status

    play(story)


def test_guessing_is_slowed_down_and_the_window_passes():
    async def story(town, caller):
        for _ in range(FAILURES_MAX):
            assert (await caller.call("ann.guess", "GET", "/status"))[0] == 401
        assert (await caller.call("ann.guess", "GET", "/status"))[0] == 429
        assert 0 < int(caller.headers["retry-after"]) <= WINDOW_S + 1
        assert (await caller.call("vic", "GET", "/status"))[0] == 200
        town.clock.at += WINDOW_S
        assert (await caller.call("ann", "GET", "/status"))[0] == 200

    play(story)


def test_without_the_global_store_the_api_says_so():
    async def story(town, caller):
        town.dead.add(WITNESS)
        status, problem = await caller.call("ann", "POST", "/plans", {})
        assert (status, problem["code"], caller.headers["retry-after"]) == (503, "PROA-R004", "1")

    play(story)


def test_an_operator_swears_that_a_process_has_ended():
    async def story(town, caller):
        boot = town.situation.nodes[EU].node.boot
        town.kill(EU)
        status, _ = await caller.call("ann", "POST", "/ends", {"node": EU, "boot": boot})
        await town.run(0.2)
        assert (status, town.situation.nodes[EU].node.ended) == (200, True)

    play(story)
