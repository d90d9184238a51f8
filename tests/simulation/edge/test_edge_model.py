"""The edge model as its users see it: assignments, health, answers of its own, and what a request costs."""

import asyncio
from random import Random

import pytest
from edge_trace import KEY, RULES

from proa.core.roles import Assignment
from proa.core.route import Endpoint, RoutePolicy
from proa.declare.http import Request
from proa.edge.routes import Routing
from proa.simulation.client import Reply
from proa.simulation.edge import EdgeModel
from proa.simulation.loop import run

BOTH = {"eu": "active", "us": "standby"}
READ = Request("GET", "/orders/1", "", {}, b"")
WRITE = Request("POST", "/orders", "", KEY, b"")


class Regions:
    """Regions that answer at once, each with the status that it is given; 0 refuses."""

    def __init__(self, **status: int) -> None:
        self.status = {"eu": 200, "us": 200} | status
        self.checks = 0

    async def dial(self, region, request):
        self.checks += request.path == "/_proa/health"
        if not self.status[region]:
            raise ConnectionRefusedError(region)
        return Reply(self.status[region], {"region": region}, b"")


def edge(regions, roles=None, epoch=1, **policy):
    endpoints = [Endpoint(name, name, 80) for name in regions.status]
    model = EdgeModel(Routing(RULES, "active-active", RoutePolicy(**policy)), endpoints, regions.dial, Random(1))
    if roles:
        assert model.apply(Assignment(epoch, "active-active", roles))
    return model


def test_only_a_newer_assignment_is_applied():
    async def main():
        model = edge(Regions())
        before = (model.epoch, model.revision)
        offered = [(2, 1), (2, 1), (2, 0), (1, 9), (2, 2)]
        taken = [model.apply(Assignment(epoch, "active-active", BOTH, revision)) for epoch, revision in offered]
        return before, taken, (model.epoch, model.revision)

    assert run(main()) == ((0, -1), [True, False, False, False, True], (2, 2))


def test_before_any_assignment_the_edge_answers_503_itself():
    reply = run(edge_answer(Regions(), roles=None))
    assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
    assert reply.json()["code"] == "PROA-E001"
    assert reply.json()["detail"] == "no_healthy_upstream"


def test_what_is_hidden_is_not_found():
    reply = run(edge_answer(Regions(), BOTH, Request("GET", "/_proa/status", "", {}, b"")))
    assert (reply.status, reply.json()["code"]) == (404, "PROA-H404")


async def edge_answer(regions, roles, request=READ):
    model = edge(regions, roles)
    await asyncio.sleep(0.1)
    return await model.send(request)


@pytest.mark.parametrize(("status", "sick_after_s"), [(503, 0.4), (0, 0.6)])
def test_a_bad_answer_counts_at_once_and_silence_when_the_check_that_follows_soon_meets_it_again(status, sick_after_s):
    async def main():
        regions = Regions()
        model = edge(regions, BOTH)
        await asyncio.sleep(0.1)
        regions.status["eu"] = status
        await asyncio.sleep(sick_after_s - 0.101)
        before = model.healthy("eu")
        await asyncio.sleep(0.002)
        return before, model.healthy("eu"), model.healthy("us")

    assert run(main()) == (True, False, True)


def test_a_sick_region_is_checked_often_and_believed_the_second_time():
    async def main():
        regions = Regions(eu=503)
        model = edge(regions, BOTH)
        await asyncio.sleep(0.1)
        regions.status["eu"] = 200
        await asyncio.sleep(0.299)
        before = model.healthy("eu")
        await asyncio.sleep(0.002)
        return before, model.healthy("eu")

    assert run(main()) == (False, True)


def test_a_region_out_of_the_plan_is_neither_well_nor_checked():
    async def main():
        regions = Regions()
        model = edge(regions, BOTH)
        await asyncio.sleep(0.1)
        model.apply(Assignment(2, "active-active", {"eu": "active", "us": "down"}))
        regions.checks = 0
        await asyncio.sleep(1.0)
        return model.healthy("eu"), model.healthy("us"), regions.checks

    assert run(main()) == (True, False, 2)


def test_a_closed_edge_checks_nobody():
    async def main():
        regions = Regions()
        model = edge(regions, BOTH)
        await asyncio.sleep(0.1)
        model.close()
        regions.checks = 0
        await asyncio.sleep(1.0)
        return regions.checks

    assert run(main()) == 0


def test_the_budget_bounds_the_retries():
    async def main():
        regions = Regions(eu=0, us=200)
        model = edge(regions, BOTH, probe_every_s=9.0, retry_floor=0, retry_share_percent=0.0)
        regions.status["eu"] = 200
        await asyncio.sleep(0.1)
        regions.status["eu"] = 0
        return (await model.send(WRITE)).status

    assert run(main()) == 503


def test_a_request_that_is_answered_at_once_makes_no_task():
    async def main():
        model = edge(Regions(), BOTH)
        await asyncio.sleep(0.1)
        before = len(asyncio.all_tasks())
        made = []
        loop = asyncio.get_running_loop()
        known = loop.get_task_factory()
        loop.set_task_factory(lambda *given, **more: made.append(given) or known(*given, **more))
        replies = [await model.send(request) for request in (READ, WRITE)]
        return [reply.status for reply in replies], made, len(asyncio.all_tasks()) - before

    assert run(main()) == ([200, 200], [], 0)


def test_a_client_that_goes_away_takes_its_hedge_along():
    async def main():
        model = edge(Slow(), BOTH)
        await asyncio.sleep(0.1)
        before = asyncio.all_tasks()
        asking = asyncio.ensure_future(model.send(READ))
        await asyncio.sleep(0.3)
        during = asyncio.all_tasks() - before
        asking.cancel()
        await asyncio.sleep(0.01)
        return len(during), len(asyncio.all_tasks() - before)

    assert run(main()) == (2, 0)


class Slow(Regions):
    async def dial(self, region, request):
        if not request.path.startswith("/_proa/"):
            await asyncio.sleep(1.0)
        return await super().dial(region, request)
