"""Deep health: a verdict that is ready before anybody asks."""

import asyncio

import msgspec
import pytest

from proa import App
from proa.declare.health import HealthCheck
from proa.errors import DeclarationError
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock
from proa.runtime.events import CheckFailed, CheckPassed
from proa.runtime.health import HealthMonitor
from support.inproc import system, until


async def hangs():
    await asyncio.sleep(60)
    return True


async def raises():
    raise ConnectionError("no route to bank")


async def passes():
    return True


def monitored(scenario, *checks, facts=None):
    async def main():
        hub, events = Hub(), []
        hub.subscribe(events.append)
        monitor = HealthMonitor(checks, object, lambda: facts or {}, SystemClock(), hub)
        monitor.start()
        try:
            await scenario(monitor, events)
        finally:
            monitor.stop()

    asyncio.run(main())


def check(name, function, **options):
    return HealthCheck(name, function, **({"every_s": 0.01, "fail_after": 2, "timeout_s": 0.02} | options))


def test_a_check_that_hangs_is_cut_and_delays_neither_the_verdict_nor_the_others():
    async def scenario(monitor, events):
        assert monitor.report(ready=True).status == "pass"
        await until(lambda: monitor.states["hangs"].failing)
        report = monitor.report(ready=True)
        assert (report.status, report.failing) == ("fail", ("hangs",))
        assert monitor.states["hangs"].detail == "took longer than 0.02 s"
        assert monitor.states["passes"].observed_at > 0

    monitored(scenario, check("hangs", hangs), check("passes", passes))


def test_a_check_fails_only_after_the_declared_number_of_failures_and_recovers_at_once():
    outcomes = [False, True, False, False, True]

    async def flips():
        return outcomes.pop(0) if outcomes else True

    async def scenario(monitor, events):
        await until(lambda: not outcomes and monitor.states["flips"].failures == 0)
        assert events == [CheckFailed("flips", "returned False"), CheckPassed("flips")]

    monitored(scenario, check("flips", flips))


def test_what_a_check_raises_is_its_verdict():
    async def scenario(monitor, events):
        await until(lambda: events)
        assert events == [CheckFailed("raises", "raised ConnectionError: no route to bank")]

    monitored(scenario, check("raises", raises))


def test_the_page_names_every_check_and_every_failing_component():
    async def scenario(monitor, events):
        page = monitor.findings().page("eu", ready=True)
        assert (page["status"], page["serviceId"]) == ("fail", "eu")
        assert page["checks"] == {
            "clock": [{"status": "fail", "output": "out of bound"}],
            "passes": [{"status": "pass", "output": ""}],
        }

    monitored(scenario, check("passes", passes), facts={"clock": "out of bound"})


@pytest.mark.parametrize("options", [{"every_s": 0}, {"fail_after": 0}, {"timeout_s": -1}])
def test_a_check_that_cannot_run_is_refused(options):
    with pytest.raises(DeclarationError, match="must be positive"):
        check("odd", passes, **options)


def test_a_region_whose_clock_is_off_refuses_its_own_writes_and_says_so(tmp_path):
    app = App("shop", regions=["eu"])
    orders = app.table("orders", Note, key="id")

    @app.post("/orders")
    async def create(note: Note) -> None:
        await orders.put(note)

    async def main():
        async with system(app, tmp_path) as s:
            region = s["eu"]
            region.note_store_time(s.clock.now() + 3600)
            refused = await s.request("eu", "POST", "/orders", {"id": "a"})
            assert msgspec.json.decode(refused.body)["code"] == "PROA-R003"
            assert region.health().failing == ("clock",)
            region.note_store_time(s.clock.now())
            assert (await s.request("eu", "POST", "/orders", {"id": "a"})).status == 204

    asyncio.run(main())


class Note(msgspec.Struct):
    id: str
