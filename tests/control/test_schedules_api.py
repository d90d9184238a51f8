"""The schedules' part of the control API: where they stand, and what operators may have them do, audited."""

import asyncio

from test_tables_api import Town

from proa import App
from proa.control.audit import read_log
from proa.core.roles import Assignment
from support.inproc import system

ROLES = Assignment(1, "active-active", {"eu": "active", "us": "active"})


class Desk(Town):
    part = "schedules"


def shop(runs):
    app = App("shop", regions=["eu", "us"])

    @app.schedule("0 4 * * *", timezone="Europe/Vienna")
    async def report() -> None:
        runs.append("report")

    return app


def play(folder, story):
    runs = []

    async def main():
        async with system(shop(runs), folder) as s:
            for region in s.regions.values():
                region.assume(ROLES, s.clock.monotonic() + 60)
            desk = await Desk(s).hire()
            home = await home_of(desk)
            await story(desk, home, next(name for name in s.regions if name != home), runs)

    asyncio.run(main())


async def home_of(desk):
    """The region that runs it, once one does."""
    async with asyncio.timeout(10):
        while True:
            for region in desk.s.regions:
                if (await desk.call(region, "GET", "", who="viewer"))[1]["schedules"]:
                    return region
            await asyncio.sleep(0.01)


def test_the_region_that_runs_a_schedule_tells_of_it(tmp_path):
    async def story(desk, home, other, runs):
        status, said = await desk.call(home, "GET", "")
        (one,) = said["schedules"]
        assert (status, one["schedule"], one["timing"], one["of"]) == (200, "report", "0 4 * * * (Europe/Vienna)", "")
        assert one["next"] > desk.s.clock.now()
        assert (await desk.call(other, "GET", ""))[1] == {"schedules": []}

    play(tmp_path, story)


def test_an_operator_runs_pauses_and_resumes_it_and_the_audit_log_tells(tmp_path):
    async def story(desk, home, other, runs):
        for what in ("pause", "run", "resume"):
            answer = await desk.call(home, "POST", f"report/{what}", {"why": f"to {what}"})
            assert answer == (200, {"schedule": "report", "of": [""]})
        async with asyncio.timeout(10):
            while not runs:
                await asyncio.sleep(0.01)
        entries = [dated.entry for dated in (await read_log(desk.s.store))[0]]
        assert [(entry.by, entry.action, entry.detail) for entry in entries if "schedule" in entry.action] == [
            ("operator", "schedule to be paused", {"schedule": "report", "why": "to pause", "region": home}),
            ("operator", "schedule to be run now", {"schedule": "report", "why": "to run", "region": home}),
            ("operator", "schedule to be resumed", {"schedule": "report", "why": "to resume", "region": home}),
        ]

    play(tmp_path, story)


def test_a_viewer_changes_nothing_and_what_is_not_there_or_run_elsewhere_is_said_so(tmp_path):
    async def story(desk, home, other, runs):
        assert (await desk.call(home, "POST", "report/run", who="viewer"))[0] == 403
        assert (await desk.call(home, "POST", "rapport/run"))[0] == 404
        assert (await desk.call(home, "POST", "report/dance"))[0] == 404
        assert (await desk.call(other, "POST", "report/run"))[1]["detail"].endswith(f"{home} does")
        assert runs == []

    play(tmp_path, story)
