"""The two people of a drill, and the plans they act on, against a small stand-in for the control API."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import msgspec
import pytest

from proa.app import App
from proa.chaos.account import Lag
from proa.chaos.drill import Course, Scene, _recover
from proa.chaos.options import DrillOptions
from proa.chaos.people import People, Person, ShownPlan, accepted_loss, error_of, somebody
from proa.chaos.plans import following
from proa.chaos.progress import ApprovalGiven, FailBackRequested, PlanStepped
from proa.chaos.wire import Answer
from proa.core.audit import Entry
from proa.core.plan import Finding, Loss, Plan
from proa.core.replicate.journal import Write
from proa.core.roles import AUDIT, PLANS
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.errors import PlanRefused, Unavailable
from proa.ports import Batch, Committed
from proa.runtime.clock import SystemClock
from support.ends import ManualClock

REFUSED = Finding("loss", ok=False, detail="2 known")
PLAN = {"id": "000001", "kind": "failover", "step": "gate", "digest": "abc", "awaiting": "approval"}


class Api:
    """Answers by (method, path) from a list each, the last answer for ever; keeps what it was asked."""

    def __init__(self, answers):
        self.answers = {call: list(each) for call, each in answers.items()}
        self.asked = []

    def region_url(self, _):
        return self.url

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = (method, path.removeprefix("/_proa/control"))
        self.asked.append((*call, headers["authorization"], json.loads(body or b"{}")))
        each = self.answers[call]
        status, value = each.pop(0) if len(each) > 1 else each[0]
        sent = json.dumps(value).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len(sent)}\r\n\r\n".encode() + sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()


def with_people(answers, act):
    api, told = Api(answers), []

    async def main():
        async with api.listening():
            people = People(api, Person("ann", "ann.1"), Person("bob", "bob.2"), told.append)
            return await act(people)

    return asyncio.run(main()), api.asked, told


def test_the_approver_waits_for_a_plan_and_approves_what_was_shown():
    answers = {
        ("GET", "/status"): [(503, {}), (200, {"plan": None}), (200, {"plan": PLAN})],
        ("POST", "/plans/000001/approve"): [(200, PLAN)],
    }
    before = time.time()
    at, asked, told = with_people(answers, lambda people: people.approve("us", 0.0, 5))
    assert before <= at <= time.time()
    assert asked[-1] == ("POST", "/plans/000001/approve", "Bearer bob.2", {"digest": "abc"})
    assert told == [ApprovalGiven("000001", "failover", "bob", None)]


def test_a_refused_approval_is_looked_at_again_and_the_loss_shown_is_accepted():
    worse = PLAN | {"digest": "def", "findings": [msgspec.to_builtins(REFUSED)], "loss": {"known": 2, "unknown": True}}
    answers = {
        ("GET", "/status"): [(200, {"plan": PLAN}), (200, {"plan": PLAN}), (200, {"plan": worse})],
        ("POST", "/plans/000001/approve"): [(409, {"code": "PROA-C002", "detail": "loss"}), (200, PLAN)],
    }
    _, asked, told = with_people(answers, lambda people: people.approve("us", 0.0, 5))
    assert [body for method, _, _, body in asked if method == "POST"] == [
        {"digest": "abc"},
        {"digest": "def", "accept_lost": 2},
    ]
    assert told == [ApprovalGiven("000001", "failover", "bob", 2)]


def test_an_approver_does_not_wait_for_ever():
    answers = {("GET", "/status"): [(200, {"plan": PLAN | {"awaiting": None}})]}
    with pytest.raises(TimeoutError):
        with_people(answers, lambda people: people.approve("us", 0.0, 0.3))


def test_another_person_asks_to_fail_back_until_it_is_allowed():
    answers = {("POST", "/failback"): [(409, {"code": "PROA-C001", "detail": "hold-down"}), (200, {"id": "000002"})]}
    plan, asked, told = with_people(answers, lambda people: people.fail_back("us", 5))
    assert plan == "000002"
    assert {who for _, _, who, _ in asked} == {"Bearer ann.1"}
    assert told == [FailBackRequested("000002", "ann")]


def test_a_fail_back_that_is_never_allowed_says_why():
    answers = {("POST", "/failback"): [(409, {"code": "PROA-C001", "detail": "the region lags"})]}
    with pytest.raises(TimeoutError, match="the fail-back was not allowed: the region lags"):
        with_people(answers, lambda people: people.fail_back("us", 0.5))


def test_only_a_refused_loss_is_accepted():
    shown = ShownPlan("1", "failover", "gate", "d", findings=[REFUSED], loss=Loss(known=2, unknown=True))
    passed = msgspec.structs.replace(shown, findings=[Finding("loss", ok=True, detail="none")])
    assert (accepted_loss(shown), accepted_loss(passed)) == ({"accept_lost": 2}, {})


def test_an_answer_becomes_the_error_it_names():
    known = error_of(Answer(409, body=b'{"code": "PROA-C001", "detail": "busy"}'))
    assert (type(known), known.detail) == (PlanRefused, "busy")
    unknown = error_of(Answer(0, error="timed out"))
    assert (type(unknown), unknown.detail) == (Unavailable, "timed out")


def test_people_look_where_somebody_answers():
    assert (somebody(["eu", "us"], "eu"), somebody(["eu", "us"], "us")) == ("us", "eu")


# Plans.

LOST = Plan("000001", "failover", "eu", "us", 1, "controller")


def with_plans(tmp_path, act, clock=None):
    told = []

    async def main():
        with ThreadPoolExecutor(1) as threads:
            store = SqliteGlobalStore(
                tmp_path / "global.db",
                clock or SystemClock(),
                lambda work: asyncio.get_running_loop().run_in_executor(threads, work),
            )
            try:
                async with following(store, told.append) as plans:
                    return await act(store, plans)
            finally:
                await store.close()

    return asyncio.run(main()), told


async def put(store, table, key, value, before=0):
    write = Write(table, key, msgspec.msgpack.encode(value), "strong")
    result = await store.commit(Batch(f"{table}{key}{before}", {(table, key): before}, [write]))
    assert isinstance(result, Committed)
    return result.seq


def test_plans_are_followed_as_they_move(tmp_path):
    async def act(store, plans):
        version = await put(store, PLANS, "000001", LOST)
        await plans.until(lambda plan: plan.step == "request", 5)
        promoted = msgspec.structs.replace(LOST, step="promote", new_epoch=2)
        await put(store, PLANS, "000001", promoted, version)
        return await plans.until(lambda plan: plan.step == "promote", 5), plans.handovers(), plans.find(lambda _: False)

    (plan, handovers, nothing), told = with_plans(tmp_path, act)
    assert (plan.new_epoch, handovers, nothing) == (2, 1, None)
    assert told == [PlanStepped("000001", "failover", "request"), PlanStepped("000001", "failover", "promote")]


def test_a_plan_that_does_not_come_is_not_waited_for_for_ever(tmp_path):
    found, _ = with_plans(tmp_path, lambda _, plans: plans.until(lambda plan: plan.step == "done", 0.2))
    assert found is None


def test_a_timeline_is_measured_on_the_stamps_of_the_audit_entries(tmp_path):
    clock = ManualClock()

    async def act(store, plans):
        for number, action in enumerate(("request", "approve", "catch_up"), 1):
            await put(store, AUDIT, f"{number:012d}", Entry(number, "", "eu", action, 1, "000001"))
            clock.time += 0.05
        await put(store, AUDIT, "000000000009", Entry(9, "", "eu", "approve", 1, "000002"))
        return await plans.timeline("000001")

    phases, _ = with_plans(tmp_path, act, clock)
    assert [phase.phase for phase in phases] == ["decide", "fence"]
    assert [phase.took_s for phase in phases] == pytest.approx([0.05, 0.05], abs=0.001)
    assert phases[0].at_s + phases[0].took_s == pytest.approx(phases[1].at_s, abs=0.002)


def test_a_drill_looks_at_the_plan_that_its_fault_led_to_not_at_one_that_was_over_before(tmp_path):
    options = DrillOptions(lose="eu", failover="automatic")
    app = App("shop", regions=["eu", "us", "ap"], topology="active-passive", active="eu")

    async def act(store, plans):
        await put(store, PLANS, "000001", msgspec.structs.replace(LOST, step="aborted"))
        await plans.until(lambda plan: plan.step == "aborted", 5)
        course = Course(0.0, {}, {}, Lag(), plans.over())
        await put(store, PLANS, "000002", msgspec.structs.replace(LOST, id="000002", step="done"))
        await _recover(Scene(None, app, None, options, plans, None, None), course)
        return course.recovery, course.broken

    assert with_plans(tmp_path, act)[0] == ("000002", [])
