"""A region that comes back after the others went on without it."""

import asyncio

import msgspec

from proa import App
from proa.core.roles import Assignment, Cut
from proa.errors import CutBelowFloor
from proa.runtime.events import SuffixCompacted
from support.inproc import system

WITHOUT_IT = Assignment(2, "active-passive", {"eu": "down", "us": "active"}, cuts=(Cut(2, "eu/1", 1),))


def test_a_region_that_cannot_set_its_late_commits_aside_any_more_serves_nobody_and_says_why(tmp_path):
    async def compacted(cuts):
        raise CutBelowFloor("eu/1 is compacted up to 3, the cut is at 1")

    async def main():
        async with system(App("shop", regions=["eu", "us"]), tmp_path) as s:
            region = s["eu"]
            assert region.health().ready
            region.store.set_aside = compacted
            await region.rejoin(WITHOUT_IT)
            health = region.health()
            assert (health.ready, health.failing) == (False, ("store",))
            page = msgspec.json.decode(region.gateway.page("/_proa/health").body)
            assert page["checks"]["store"][0]["output"] == "eu/1 is compacted up to 3, the cut is at 1"
            assert [event for event in s.events if isinstance(event, SuffixCompacted)] != []
            assert not region.readiness.admits()

    asyncio.run(main())


def test_the_health_page_is_made_anew_only_when_it_says_something_else(tmp_path):
    async def main():
        async with system(App("shop", regions=["eu", "us"]), tmp_path) as s:
            region = s["eu"]
            first, again = (region.gateway.page("/_proa/health") for _ in range(2))
            assert (first.status, again is first) == (200, True)
            region.authority.clock_off = True
            off = region.gateway.page("/_proa/health")
            assert (off.status, msgspec.json.decode(off.body)["checks"]["clock"][0]["status"]) == (503, "fail")
            region.authority.clock_off = False
            assert region.gateway.page("/_proa/health").body == first.body

    asyncio.run(main())


def test_a_disk_of_which_a_peer_has_more_than_it_has_itself_went_back(tmp_path):
    async def main():
        async with system(App("shop", regions=["eu", "us"]), tmp_path) as s:
            assert not await s["eu"].rejoining.rolled_back()
            s.links.methods["us"] = {**s["us"].methods(), "cursors": ahead}
            assert await s["eu"].rejoining.rolled_back()

    async def ahead(_caller, _payload):
        return {"eu/1": 7}

    asyncio.run(main())
