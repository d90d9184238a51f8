"""Schedules on real stores: each due time takes effect once, in one region, with what its handler writes."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest

from proa import App, Context, Retry, Tick
from proa.core.roles import Assignment
from proa.errors import NotFound, NotHome
from proa.runtime.clock import SystemClock
from proa.runtime.events import TickFailed, TickFired, TickGivenUp, TicksSkipped
from support.inproc import System, until

REGIONS = ["eu", "us"]


@dataclass
class Done:
    id: str
    region: str


class Told:
    def __init__(self):
        self.ticks = []
        self.fails = []
        self.hold = None


def shop(told, **options):
    app = App("shop", regions=REGIONS)
    done = app.table("done", Done, key="id")

    @app.schedule(**{"every_s": 0.2, "retry": Retry(attempts=3, base_s=0.01), **options})
    async def sweep(tick: Tick, ctx: Context) -> None:
        await done.put(Done(f"{tick.due}", ctx.region))
        told.ticks.append(tick)
        if told.hold:
            await told.hold.wait()
        if told.fails:
            raise told.fails.pop(0)

    return app


def everybody(epoch=1, regions=REGIONS):
    return Assignment(epoch, "active-active", dict.fromkeys(REGIONS, "standby") | dict.fromkeys(regions, "active"))


def assume(s, assignment):
    for region in s.regions.values():
        region.assume(assignment, region._ports.clock.monotonic() + 60)


class Shifted(SystemClock):
    """A clock that is put forward."""

    ahead_s = 0.0

    def now(self):
        return super().now() + self.ahead_s


def run(folder, scenario, **options):
    told = Told()

    async def main():
        running = System(shop(told, **options), folder)
        running.clock = Shifted()
        await running.open()
        try:
            await scenario(running, told)
        finally:
            await running.close()

    asyncio.run(main())


def acting(s):
    """The regions that act for the schedule."""
    return [name for name, region in s.regions.items() if region.scheduler.status()]


def rows(s, region):
    found = s[region].store._reader.execute("SELECT key FROM rows WHERE tbl = 'done' AND value IS NOT NULL")
    return sorted(key for (key,) in found)


def of_kind(s, kind):
    return [event for event in s.events if isinstance(event, kind)]


def test_a_tick_takes_effect_once_in_one_region(tmp_path):
    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: len(told.ticks) >= 3)
        (home,) = acting(s)
        await until(lambda: len(rows(s, home)) >= 3)
        dues = [event.due for event in of_kind(s, TickFired)]
        assert len(set(dues)) == len(dues)
        assert [round(later - due, 3) for due, later in pairwise(dues)] == [0.2] * (len(dues) - 1)

    run(tmp_path, scenario)


def test_each_region_runs_its_own(tmp_path):
    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: {tick.region for tick in told.ticks} == {"eu", "us"})
        assert {event.of for event in of_kind(s, TickFired)} <= {"eu", "us"}
        assert [one.of for one in s["eu"].scheduler.status()] == ["eu"]

    run(tmp_path, scenario, once="region")


def test_the_stand_in_goes_on_with_the_next_due_time(tmp_path):
    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: len(of_kind(s, TickFired)) >= 2)
        (home,) = acting(s)
        (other,) = set(REGIONS) - {home}
        await s.settled()
        assume(s, everybody(2, [other]))
        s[other].authority.took_over(2)
        before = len(of_kind(s, TickFired))
        await until(lambda: len(of_kind(s, TickFired)) >= before + 2)
        assert acting(s) == [other]
        dues = [event.due for event in of_kind(s, TickFired)]
        assert len(set(dues)) == len(dues)

    run(tmp_path, scenario)


def test_nobody_fires_without_a_lease(tmp_path):
    async def scenario(s, told):
        for region in s.regions.values():
            region.assume(everybody(), region._ports.clock.monotonic() - 1)
        await asyncio.sleep(0.5)
        assert told.ticks == []

    run(tmp_path, scenario)


def test_what_a_tick_writes_after_its_region_lost_the_right_is_not_committed(tmp_path):
    async def scenario(s, told):
        told.hold = asyncio.Event()
        assume(s, everybody())
        await until(lambda: told.ticks)
        (home,) = acting(s)
        s[home].assume(everybody(2), s.clock.monotonic() + 60)
        told.hold.set()
        told.hold = None
        due = told.ticks[0].due
        await until(lambda: any(event.due == due for event in of_kind(s, TickFired)) or len(told.ticks) > 1)
        assert [event.due for event in of_kind(s, TickFired)].count(due) <= 1
        assert of_kind(s, TickGivenUp) == []

    run(tmp_path, scenario)


def test_a_failed_tick_is_tried_again_with_nothing_of_the_failed_run(tmp_path):
    async def scenario(s, told):
        told.fails = [ValueError("no"), ValueError("not yet")]
        assume(s, everybody())
        await until(lambda: of_kind(s, TickFired))
        assert [(event.attempts, event.error) for event in of_kind(s, TickFailed)] == [
            (1, "ValueError: no"),
            (2, "ValueError: not yet"),
        ]
        assert [tick.attempt for tick in told.ticks[:3]] == [1, 2, 3]
        assert len({tick.due for tick in told.ticks[:3]}) == 1

    run(tmp_path, scenario, every_s=2)


def test_a_tick_that_fails_for_good_is_given_up_and_the_next_one_runs(tmp_path):
    async def scenario(s, told):
        told.fails = [ValueError("no")] * 3
        assume(s, everybody())
        await until(lambda: of_kind(s, TickFired))
        (given_up,) = of_kind(s, TickGivenUp)
        assert (given_up.attempts, given_up.error) == (3, "ValueError: no")
        (status,) = [one for region in s.regions.values() for one in region.scheduler.status()]
        assert (status.failed, status.fired >= 1) == (1, True)

    run(tmp_path, scenario, every_s=0.5)


def test_a_tick_that_takes_too_long_fails(tmp_path):
    async def scenario(s, told):
        told.hold = asyncio.Event()
        assume(s, everybody())
        await until(lambda: of_kind(s, TickFailed) or of_kind(s, TickGivenUp))
        assert "longer than 0.05 s" in (of_kind(s, TickFailed) + of_kind(s, TickGivenUp))[0].error

    run(tmp_path, scenario, timeout_s=0.05, every_s=2)


@pytest.mark.parametrize(("catch_up", "missed"), [("skip", 0), ("latest", 1), ("all", 3)])
def test_what_becomes_of_ticks_missed_while_no_region_could_run_them(tmp_path, catch_up, missed):
    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: acting(s))
        (status,) = s[acting(s)[0]].scheduler.status()
        for region in s.regions.values():
            region.assume(everybody(), s.clock.monotonic() - 1)
        s.clock.ahead_s = status.next + 150 - s.clock.now()
        assume(s, everybody())
        await until(lambda: len(told.ticks) == missed and (missed or of_kind(s, TicksSkipped)))
        assert [tick.due - status.next for tick in told.ticks] == [0, 60, 120][3 - missed :]
        assert [tick.skipped for tick in told.ticks] == {"latest": [2]}.get(catch_up, [0] * missed)
        assert [event.count for event in of_kind(s, TicksSkipped)] == ([3] if catch_up == "skip" else [])

    run(tmp_path, scenario, every_s=60, catch_up=catch_up, late_s=15)


def test_a_clock_that_is_put_back_waits(tmp_path):
    async def scenario(s, told):
        s.clock.ahead_s = 100
        assume(s, everybody())
        await until(lambda: of_kind(s, TickFired))
        s.clock.ahead_s = 0
        told.ticks.clear()
        await asyncio.sleep(0.5)
        assert told.ticks == []
        s.clock.ahead_s = 101
        assume(s, everybody())
        await until(lambda: told.ticks)
        dues = [event.due for event in of_kind(s, TickFired)]
        assert len(set(dues)) == len(dues)

    run(tmp_path, scenario)


def test_a_person_may_run_pause_and_resume_a_schedule(tmp_path):
    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: acting(s))
        (home,) = acting(s)
        (other,) = set(REGIONS) - {home}
        scheduler = s[home].scheduler
        assert await scheduler.pause("sweep") == [""]
        told.ticks.clear()
        assert await scheduler.run_now("sweep") == [""]
        await until(lambda: told.ticks)
        assert [(tick.asked, tick.attempt) for tick in told.ticks] == [(True, 1)]
        (status,) = scheduler.status()
        assert (status.paused, status.next) == (True, None)
        await scheduler.resume("sweep")
        (status,) = scheduler.status()
        assert status.next > s.clock.now()
        with pytest.raises(NotHome, match=f"{other} does not run schedule sweep; {home} does"):
            await s[other].scheduler.pause("sweep")
        with pytest.raises(NotFound, match="there are"):
            await scheduler.pause("swep")

    run(tmp_path, scenario, every_s=3600)


def test_a_region_that_starts_again_goes_on_where_it_was(tmp_path):
    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: len(of_kind(s, TickFired)) >= 2)
        for name in REGIONS:
            await s.stop(name)
        for name in REGIONS:
            await s.start(name)
        assume(s, everybody())
        before = len(of_kind(s, TickFired))
        await until(lambda: len(of_kind(s, TickFired)) >= before + 2)
        dues = [event.due for event in of_kind(s, TickFired)]
        assert len(set(dues)) == len(dues)

    run(tmp_path, scenario)


def test_a_tick_whose_process_ends_each_time_is_given_up(tmp_path):
    """It was due before the region acted for it: each attempt is counted before it begins."""

    async def scenario(s, told):
        assume(s, everybody())
        await until(lambda: acting(s))
        told.hold, attempts = asyncio.Event(), []
        for name in REGIONS:
            await s.stop(name)
        s.clock.ahead_s = 60
        for _ in range(3):
            told.ticks.clear()
            for name in REGIONS:
                await s.start(name)
            assume(s, everybody())
            await until(lambda: told.ticks)
            attempts.append(told.ticks[0].attempt)
            for name in REGIONS:
                await s.stop(name)
        for name in REGIONS:
            await s.start(name)
        assume(s, everybody())
        await until(lambda: of_kind(s, TickGivenUp))
        assert attempts == [1, 2, 3]
        assert of_kind(s, TickGivenUp)[0].error == "its process ended 3 times"

    run(tmp_path, scenario, every_s=60)
