"""Slots at the front door: the line, shedding, priorities, tenants, deadlines, and clients that leave."""

import asyncio

import pytest

from proa import App, Concurrency
from support.front import front


class Shop:
    """An app whose handlers wait until they are let go; `running` are those that do."""

    def __init__(self, shared=None, **own):
        self.app = App("shop", regions=["eu"])
        self.running, self.most = [], 0
        self.gates = {}
        if shared:
            self.app.concurrency(shared)
        for path, priority in (("/low", "low"), ("/normal", "normal"), ("/high", "high")):
            self._route(path, priority, own)

    def _route(self, path, priority, own):
        @self.app.get(path, priority=priority, timeout_s=2, **own)
        async def handler(name: str) -> str:
            self.running.append(name)
            self.most = max(self.most, len(self.running))
            try:
                await self.gates.setdefault(name, asyncio.Event()).wait()
            finally:
                self.running.remove(name)
            return name

    def finish(self, name):
        self.gates.setdefault(name, asyncio.Event()).set()


def run(shop, tmp_path, scenario):
    async def main():
        async with front(shop.app, tmp_path) as (ask, _):

            async def begin(path, name, peer="10.0.0.1", **headers):
                task = asyncio.create_task(ask("GET", path, query=f"name={name}", peer=peer, **headers))
                for _ in range(20):
                    await asyncio.sleep(0)
                return task

            return await scenario(begin)

    return asyncio.run(main())


def test_so_many_run_so_many_wait_and_the_rest_is_shed(tmp_path):
    shop = Shop(Concurrency(limit=2, line=1))

    async def scenario(begin):
        tasks = [await begin("/normal", name) for name in "abcd"]
        for name in "abc":
            shop.finish(name)
        return [(await task).status for task in tasks], (await tasks[3]).code, shop.most

    assert run(shop, tmp_path, scenario) == ([200, 200, 200, 503], "PROA-A003", 2)


def test_a_shed_request_says_when_to_come_back_and_not_that_another_region_should_try(tmp_path):
    shop = Shop(Concurrency(limit=1, line=0))

    async def scenario(begin):
        first, second = await begin("/normal", "a"), await begin("/normal", "b")
        shop.finish("a")
        await first
        return (await second).headers

    headers = run(shop, tmp_path, scenario)
    assert ("retry-after" in headers, "proa-not-started" in headers) == (True, False)


def test_the_most_important_goes_first_and_the_least_gives_way(tmp_path):
    shop = Shop(Concurrency(limit=1, line=2))

    async def scenario(begin):
        tasks = {name: await begin(path, name) for path, name in [("/normal", "a"), ("/low", "b"), ("/normal", "c")]}
        tasks["d"] = await begin("/high", "d")  # the line is full: the low one gives way
        order = []
        for name in ("a", "d", "c"):
            order.append(list(shop.running))
            shop.finish(name)
            await tasks[name]
            await asyncio.sleep(0)
        return order, (await tasks["b"]).status

    assert run(shop, tmp_path, scenario) == ([["a"], ["d"], ["c"]], 503)


def test_tenants_take_turns_whatever_each_of_them_sends(tmp_path):
    shop = Shop(Concurrency(limit=1, line=4))

    async def scenario(begin):
        asked = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1"), ("f", "2")]
        tasks = {name: await begin("/normal", name, peer=f"10.0.0.{tenant}") for name, tenant in asked}
        order = []
        for _ in range(5):
            order += shop.running
            shop.finish(order[-1])
            await tasks[order[-1]]
            await asyncio.sleep(0)
        return order, (await tasks["e"]).status

    assert run(shop, tmp_path, scenario) == (["a", "b", "f", "c", "d"], 503)


def test_a_route_with_slots_of_its_own_leaves_those_of_the_app_alone(tmp_path):
    shop = Shop(Concurrency(limit=1, line=0), concurrency=Concurrency(limit=1, line=0))

    async def scenario(begin):
        tasks = [await begin(path, path[1:]) for path in ("/low", "/normal", "/high")]
        for path in ("low", "normal", "high"):
            shop.finish(path)
        return [(await task).status for task in tasks]

    assert run(shop, tmp_path, scenario) == [200, 200, 200]


def test_who_would_be_served_too_late_is_not_let_wait(tmp_path):
    shop = Shop(Concurrency(limit=1, line=9))

    async def scenario(begin):
        first = await begin("/normal", "a")
        await asyncio.sleep(0.1)
        shop.finish("a")
        await first  # such a unit takes 100 ms, it is known now
        second = await begin("/normal", "b")
        late, soon = await begin("/normal", "c", proa_deadline_ms="50"), await begin("/normal", "d")
        for name in "bcd":
            shop.finish(name)
        return [(await task).status for task in (second, late, soon)]

    assert run(shop, tmp_path, scenario) == [200, 503, 200]


def test_waiting_counts_to_the_time_a_request_has(tmp_path):
    shop = Shop(Concurrency(limit=1, line=9))

    async def scenario(begin):
        first, second = await begin("/normal", "a"), await begin("/normal", "b", proa_deadline_ms="50")
        answer = await second
        shop.finish("a")
        await first
        third = await begin("/normal", "c")
        shop.finish("c")
        return answer.status, answer.code, (await third).status

    assert run(shop, tmp_path, scenario) == (504, "PROA-U005", 200)


@pytest.mark.parametrize("given", [False, True], ids=["while it waits", "when it was just given a slot"])
def test_a_client_that_leaves_the_line_takes_no_slot_with_it(given, tmp_path):
    shop = Shop(Concurrency(limit=1, line=9))

    async def scenario(begin):
        first, second = await begin("/normal", "a"), await begin("/normal", "b")
        if given:
            shop.finish("a")
            await first
        second.cancel()
        shop.finish("a")
        await asyncio.wait([first, second])
        third = await begin("/normal", "c")
        shop.finish("c")
        return (await third).status, shop.running

    assert run(shop, tmp_path, scenario) == (200, [])


def test_metrics_tell_of_the_slots(tmp_path):
    shop = Shop(Concurrency(limit=2, line=1))

    async def main():
        async with front(shop.app, tmp_path) as (ask, running):
            tasks = [asyncio.create_task(ask("GET", "/normal", query=f"name={name}")) for name in "abc"]
            while len(shop.running) < 2:
                await asyncio.sleep(0)
            text = running["eu"].metrics.text()
            for name in "abc":
                shop.finish(name)
            await asyncio.gather(*tasks)
            return [line for line in text.splitlines() if line.startswith("proa_slots")]

    assert asyncio.run(main()) == [
        'proa_slots_limit{region="eu",of="shop"} 2',
        'proa_slots_running{region="eu",of="shop"} 2',
        'proa_slots_waiting{region="eu",of="shop"} 1',
    ]
