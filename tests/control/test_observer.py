"""Eyes: the real probe against a real HTTP server, and the observer's smoothing of what it says."""

import asyncio
import contextlib
from itertools import pairwise

from aiohttp import web

from proa.control.observer import Observer
from proa.control.probe import failing_checks
from proa.core.roles import Observation
from proa.local.probe import HttpProbe
from support.control_town import EU, US, Town

TIMEOUT_S = 0.2


async def alive(_):
    return web.Response()


@contextlib.asynccontextmanager
async def region(health, live=None):
    """A region that answers like this; its base URL."""
    app = web.Application()
    app.router.add_get("/_proa/health", health)
    app.router.add_get("/_proa/live", live or alive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def probed(health, live=None, times=1):
    async def main():
        async with region(health, live) as url, HttpProbe(lambda _: url, TIMEOUT_S) as probe:
            return [await probe(EU) for _ in range(times)][-1]

    return asyncio.run(main())


async def hang(_):
    await asyncio.sleep(5)


def test_a_healthy_region_costs_one_request():
    asked = []

    async def health(request):
        asked.append(request.path)
        return web.json_response({"status": "pass"})

    assert probed(health, times=3) == Observation(True, "pass")
    assert asked == ["/_proa/health"] * 3


def test_a_failing_region_is_alive_and_names_its_failing_checks():
    async def health(_):
        checks = {"db": [{"status": "fail"}], "disk": [{"status": "pass"}]}
        return web.json_response({"status": "fail", "checks": checks}, status=503)

    assert probed(health) == Observation(True, "fail", ("db",))


def test_a_region_whose_deep_check_hangs_is_alive_and_slow():
    assert probed(hang, times=2) == Observation(True, "fail", ("health-timeout",))


def test_a_region_that_hangs_altogether_or_is_gone_is_not_alive():
    assert probed(hang, hang, times=2) == Observation(live=False)

    async def gone():
        async with HttpProbe(lambda _: "http://127.0.0.1:9", TIMEOUT_S) as probe:
            return await probe(EU)

    assert asyncio.run(gone()) == Observation(live=False)


def test_a_health_page_that_says_nothing_useful_still_counts_as_a_failure():
    assert failing_checks(b"<html>") == ("unreadable",)
    assert failing_checks(b'{"status": "fail"}') == ("health",)
    assert failing_checks(b'{"status": "pass", "ready": false}') == ("ready",)


def told_after(*samples):
    """What an observer told at once, after these samples of one region."""

    async def main():
        town = await Town().start()
        answers, changes = list(samples), []

        async def probe(_):
            return answers.pop(0)

        observer = Observer(US, probe, town.parts_of(US, "observer"), lambda: changes.append(observer.seen()))
        for _ in samples:
            await observer.sample(EU)
        return changes

    return asyncio.run(main())


WELL, DEAD = Observation(True, "pass"), Observation(live=False)


def test_an_opinion_is_published_when_it_changes_and_not_with_every_sample():
    assert told_after(*[WELL] * 3, *[DEAD] * 4, *[WELL] * 3) == [{EU: DEAD}, {EU: WELL}]


def test_a_region_is_looked_at_seldom_while_it_is_well_and_often_from_the_first_bad_sample_on():
    async def main():
        town, samples, looks = Town(), [WELL, WELL, WELL, DEAD, WELL, WELL, DEAD, DEAD, DEAD, DEAD], []

        async def probe(_):
            looks.append(town.clock.at)
            return samples[len(looks) - 1]

        observer = Observer(US, probe, town.parts_of(US, "observer"), lambda: None)
        watching = asyncio.create_task(observer.run())
        while len(looks) < len(samples):
            town.clock.at += 0.05
            await asyncio.sleep(0.01)
        watching.cancel()
        return [round(later - before, 1) for before, later in pairwise(looks)]

    assert asyncio.run(main()) == [0.5, 1.0, 1.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.5]


def test_that_a_region_is_well_when_it_is_first_seen_is_no_news_but_that_it_is_gone_is():
    assert told_after(*[WELL] * 4) == []
    assert told_after(*[DEAD] * 4) == [{EU: DEAD}]
