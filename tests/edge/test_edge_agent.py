"""The edge with a real Envoy: what clients feel when regions die, stall, refuse, or leave the plan."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from edge_harness import KEY, Answer, free_port, running, spec_for, start_region, until

from proa.chaos.relay import Command
from proa.core.roles import Assignment
from proa.core.route import Endpoint, RoutePolicy
from proa.edge.agent import EdgeAgent, EnvoyExited, EnvoyStarted
from proa.edge.envoy import EDS_FILE, plan_of
from proa.errors import PortTaken
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock
from proa.runtime.config import Address

pytestmark = pytest.mark.processes

REPEATABLE = [("GET", "/orders/1", None), ("POST", "/charges", KEY)]
SLOW_CHECKS = RoutePolicy(probe_every_s=5.0, probe_timeout_s=5.0)
"""Regions stay in the routing, so that retries alone are seen at work."""


def statuses(answers: list[Answer]) -> dict[int, int]:
    return dict(Counter(answer.status for answer in answers))


def test_a_killed_region_fails_no_repeatable_request_and_stalls_none(tmp_path):
    async def main():
        async with running(tmp_path, ("eu", "us", "ap")) as system:
            loading = asyncio.create_task(system.load(REPEATABLE, rate=300, duration_s=1.5))
            await asyncio.sleep(0.5)
            await system.regions["eu"].kill()
            answers = await loading
            slowest = sorted(answer.took_s for answer in answers)
            stats = await system.agent.stats()
        assert statuses(answers) == {200: 450}
        assert slowest[int(len(slowest) * 0.99)] < 0.1
        assert stats.regions["eu"].connect_failures > 0  # the kill did meet requests
        assert stats.retries > 0

    asyncio.run(main())


def test_a_kill_with_many_requests_in_flight_is_within_the_retry_budget(tmp_path):
    async def main():
        patient = msgspec.structs.replace(SLOW_CHECKS, hedge_after_s=5.0)
        async with running(tmp_path, roles={"eu": "active", "us": "standby"}, policy=patient) as system:
            asking = [asyncio.create_task(system.ask("GET", "/orders/1?hang=eu")) for _ in range(200)]
            await until(lambda: arrived(system, 200))
            await system.regions["eu"].kill()
            answers = await asyncio.gather(*asking)
            refused = (await system.agent.stats()).retries_refused
        assert {(a.status, a.region) for a in answers} == {(200, "us")}
        assert refused == 0

    asyncio.run(main())


async def arrived(system, count):
    return (await system.seen("GET /orders/1"))["eu"] == count


def test_the_standby_takes_the_reads_of_a_killed_active_region(tmp_path):
    async def main():
        roles = {"eu": "active", "us": "standby"}
        async with running(tmp_path, topology="active-passive", roles=roles) as system:
            loading = asyncio.create_task(system.load([("GET", "/orders/1", None)], rate=200, duration_s=1.0))
            await asyncio.sleep(0.4)
            await system.regions["eu"].kill()
            answers = await loading
        assert statuses(answers) == {200: 200}
        assert {answer.region for answer in answers[:40]} == {"eu"}
        assert {answer.region for answer in answers[-40:]} == {"us"}

    asyncio.run(main())


def test_a_paused_region_costs_repeatable_requests_less_than_a_second(tmp_path):
    async def main():
        async with running(tmp_path, ("eu", "us", "ap")) as system:
            loading = asyncio.create_task(system.load(REPEATABLE, rate=200, duration_s=2.0))
            await asyncio.sleep(0.5)
            system.regions["us"].signal(signal.SIGSTOP)
            answers = await loading
            await until(lambda: unhealthy(system, "us"))
            system.regions["us"].signal(signal.SIGCONT)
            await until(lambda: healthy(system, "us"))
        worst = max(answer.took_s for answer in answers)
        assert statuses(answers) == {200: 400}
        assert 0.2 < worst < 1.0  # it did meet the paused region

    asyncio.run(main())


def test_a_blackout_costs_repeatable_requests_less_than_a_second_and_its_end_nothing(tmp_path):
    async def main():
        async with running(tmp_path, ("eu", "us", "ap"), relayed=True) as system:
            loading = asyncio.create_task(system.load(REPEATABLE, rate=200, duration_s=2.5))
            await asyncio.sleep(0.4)
            system.relay.perform(Command("blackout", "eu"))
            await until(lambda: unhealthy(system, "eu"))
            system.relay.perform(Command("heal", "eu"))
            await until(lambda: healthy(system, "eu"))
            answers = await loading
        worst = max(answer.took_s for answer in answers)
        assert statuses(answers) == {200: 500}
        assert 0.2 < worst < 1.0  # it did meet the dark region

    asyncio.run(main())


async def unhealthy(system, region):
    return not (await system.agent.stats()).regions[region].healthy


async def healthy(system, region):
    return (await system.agent.stats()).regions[region].healthy


def test_what_is_repeated_depends_on_the_class_of_the_route_and_on_the_key(tmp_path):
    """Each case: the status, then how often the first and the second region saw the request."""

    async def main():
        roles = {"eu": "active", "us": "standby"}
        async with running(tmp_path, roles=roles, policy=SLOW_CHECKS) as system:

            async def seen_after(method, path, headers=None, decoded=None):
                what = f"{method} {decoded or path.partition('?')[0]}"
                before = await system.seen(what)
                answer = await system.ask(method, path, headers)
                after = await system.seen(what)
                return answer.status, after["eu"] - before["eu"], after["us"] - before["us"]

            actual = {
                "read, reset": await seen_after("GET", "/orders/1?reset=eu"),
                "read, 502": await seen_after("GET", "/orders/1?bad=eu"),
                "read, shed": await seen_after("GET", "/orders/1?shed=eu"),
                "read, refused": await seen_after("GET", "/orders/1?refuse=eu"),
                "head, reset": await seen_after("HEAD", "/orders/1?reset=eu"),
                "global with key, reset": await seen_after("POST", "/charges?reset=eu", KEY),
                "global with key, slow": await seen_after("POST", "/charges?delay_s=0.4", KEY),
                "global without key, reset": await seen_after("POST", "/charges?reset=eu"),
                "global without key, refused": await seen_after("POST", "/charges?refuse=eu"),
                "regional, reset": await seen_after("POST", "/orders?reset=eu", KEY),
                "regional, 502": await seen_after("POST", "/orders?bad=eu", KEY),
                "regional, shed": await seen_after("POST", "/orders?shed=eu", KEY),
                "regional, slow": await seen_after("POST", "/orders?delay_s=0.4", KEY),
                "regional, refused": await seen_after("POST", "/orders?refuse=eu", KEY),
                "regional, reset, retry ordered": await seen_after(
                    "POST", "/orders?reset=eu", {"x-envoy-retry-on": "reset,5xx", "x-envoy-max-retries": "3"}
                ),
                "read, reset, misspelled": await seen_after("GET", "/orders/a%2Fb?reset=eu", None, "/orders/a/b"),
                "undeclared, reset": await seen_after("POST", "/elsewhere?reset=eu", KEY),
            }
        assert actual == {
            "read, reset": (200, 1, 1),
            "read, 502": (200, 1, 1),
            "read, shed": (503, 1, 0),
            "read, refused": (200, 1, 1),
            "head, reset": (200, 1, 1),
            "global with key, reset": (200, 1, 1),
            "global with key, slow": (200, 1, 1),
            "global without key, reset": (503, 1, 0),
            "global without key, refused": (200, 1, 1),
            "regional, reset": (503, 1, 0),
            "regional, 502": (502, 1, 0),
            "regional, shed": (503, 1, 0),
            "regional, slow": (200, 1, 0),
            "regional, refused": (200, 1, 1),
            "regional, reset, retry ordered": (503, 1, 0),
            "read, reset, misspelled": (503, 1, 0),
            "undeclared, reset": (503, 1, 0),
        }

    asyncio.run(main())


def test_a_regional_request_goes_elsewhere_when_its_region_cannot_be_connected_to(tmp_path):
    async def main():
        roles = {"eu": "active", "us": "standby"}
        async with running(tmp_path, roles=roles, policy=SLOW_CHECKS) as system:
            await system.regions["eu"].kill()
            answer = await system.ask("POST", "/orders", KEY)
        assert (answer.status, answer.region) == (200, "us")

    asyncio.run(main())


def test_a_new_plan_moves_all_traffic_within_a_tenth_of_a_second_and_fails_nothing(tmp_path):
    async def main():
        async with running(tmp_path, roles={"eu": "active", "us": "down"}) as system:
            loading = asyncio.create_task(
                system.load([*REPEATABLE, ("POST", "/orders", KEY)], rate=300, duration_s=1.0)
            )
            await asyncio.sleep(0.4)
            assert await system.agent.apply(Assignment(2, "active-active", {"eu": "down", "us": "active"}))
            moved = asyncio.get_running_loop().time()
            in_effect = (system.agent.epoch, system.agent.revision)
            answers = await loading
        assert in_effect == (2, 0)
        assert statuses(answers) == {200: 300}
        assert {a.region for a in answers if a.started > moved + 0.1} == {"us"}
        assert {a.region for a in answers} == {"eu", "us"}

    asyncio.run(main())


def test_only_a_newer_plan_is_applied_also_by_the_next_agent_on_the_same_folder(tmp_path):
    async def main():
        async with running(tmp_path, roles={"eu": "active", "us": "down"}) as system:
            agent = system.agent
            newest = Assignment(5, "active-active", {"eu": "down", "us": "active"}, revision=2)
            actual = [
                await agent.apply(newest),
                await agent.apply(newest),
                await agent.apply(Assignment(5, "active-active", {"eu": "active"}, revision=1)),
                await agent.apply(Assignment(4, "active-active", {"eu": "active"}, revision=9)),
            ]
            region = (await system.ask("GET", "/orders/1")).region
            us_port = system.regions["us"].port
        assert (actual, region) == ([True, False, False, False], "us")
        async with running_again(tmp_path) as next_agent:
            stale = await next_agent.apply(Assignment(4, "active-active", {"eu": "active"}))
            on_disk = plan_of(msgspec.json.decode((tmp_path / EDS_FILE).read_bytes()))
            assert (stale, next_agent.epoch, next_agent.revision) == (False, 5, 2)
            assert [target.region for target in on_disk.targets] == ["us"]
            assert on_disk.targets[0].port != us_port  # the configuration says where it listens now

    asyncio.run(main())


class running_again:  # noqa: N801 - reads as the function that it stands for
    """A later agent on the folder of an earlier one; its regions listen elsewhere and are not up yet."""

    def __init__(self, folder: Path) -> None:
        endpoints = [Endpoint(name, "127.0.0.1", free_port()) for name in ("eu", "us")]
        spec = spec_for(folder, "active-active", 2, RoutePolicy())
        self.agent = EdgeAgent(spec, endpoints, clock=SystemClock(), telemetry=Hub())

    async def __aenter__(self) -> EdgeAgent:
        await self.agent.start()
        return self.agent

    async def __aexit__(self, *_: object) -> None:
        await self.agent.stop()


def test_traffic_follows_the_weights(tmp_path):
    async def main():
        async with running(tmp_path) as system:
            eased = Assignment(1, "active-active", {"eu": "active", "us": "active"}, 1, {"eu": 10, "us": 90})
            assert await system.agent.apply(eased)
            answers = [await system.ask("GET", "/orders/1") for _ in range(300)]
            return Counter(answer.region for answer in answers)["eu"]

    assert 15 <= asyncio.run(main()) <= 45


def test_a_region_that_is_not_ready_gets_nothing_but_a_check_that_fails_everywhere_empties_no_edge(tmp_path):
    async def main():
        async with running(tmp_path) as system:
            await system.direct("eu", "/_test/health?status=503")
            await until(lambda: unhealthy(system, "eu"))
            one_sick = {(await system.ask("GET", "/orders/1")).region for _ in range(20)}
            await system.direct("us", "/_test/health?status=503")
            await until(lambda: unhealthy(system, "us"))
            both_sick = [(await system.ask("GET", "/orders/1")).status for _ in range(20)]
        assert one_sick == {"us"}
        assert both_sick == [200] * 20

    asyncio.run(main())


def test_a_standby_gets_nothing_while_one_active_region_is_well(tmp_path):
    async def main():
        roles = {"eu": "active", "us": "active", "ap": "standby"}
        async with running(tmp_path, ("eu", "us", "ap"), roles=roles) as system:
            await system.direct("eu", "/_test/health?status=503")
            await until(lambda: unhealthy(system, "eu"))
            return {(await system.ask("GET", "/orders/1")).region for _ in range(60)}

    assert asyncio.run(main()) == {"us"}


def test_active_passive_writes_stay_with_an_active_region_whose_deep_check_fails(tmp_path):
    async def main():
        roles = {"eu": "active", "us": "standby"}
        async with running(tmp_path, topology="active-passive", roles=roles) as system:
            await system.direct("eu", "/_test/health?status=503")
            await until(lambda: unhealthy(system, "eu"))
            write, read = await system.ask("POST", "/orders", KEY), await system.ask("GET", "/orders/1")
        assert (write.region, read.region) == ("eu", "us")

    asyncio.run(main())


def test_nothing_under_the_reserved_prefix_reaches_a_region_however_it_is_spelled(tmp_path):
    spellings = ["/_proa", "/_proa/live", "/%5Fproa/health", "/_pr%6Fa/status", "//_proa/live", "/a/../_proa/live"]

    async def main():
        async with running(tmp_path) as system:
            answers = [await system.ask("GET", path) for path in [*spellings, "/_proa%2Flive", "/%2f_proa/live"]]
            declared = await system.ask("GET", "/orders/_proa")
        assert {(a.status, a.region, a.headers["content-type"]) for a in answers} == {
            (404, "", "application/problem+json")
        }
        assert declared.status == 200

    asyncio.run(main())


def test_identifiers_and_trace_context_pass_untouched(tmp_path):
    sent = {"x-request-id": "not-a-uuid", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

    async def main():
        async with running(tmp_path) as system:
            body = msgspec.json.decode((await system.ask("GET", "/orders/1", sent)).body)
            return {name: body["headers"].get(name) for name in sent}

    assert asyncio.run(main()) == sent


def test_an_envoy_that_dies_is_started_again_on_the_present_plan(tmp_path):
    async def main():
        async with running(tmp_path, roles={"eu": "down", "us": "active"}) as system:
            first = system.agent.pid
            os.kill(first, signal.SIGKILL)
            await until(lambda: restarted(system))
            answer = await system.ask("GET", "/orders/1")
            exits = [event.exit_code for event in system.events if isinstance(event, EnvoyExited)]
        assert (answer.region, exits) == ("us", [-signal.SIGKILL])
        assert system.agent.pid != first

    asyncio.run(main())


async def restarted(system):
    return sum(isinstance(event, EnvoyStarted) for event in system.events) == 2


AGENT = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_edge_agent import running_again
async def main():
    async with running_again(Path(sys.argv[1])) as agent:
        print(agent.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def test_envoy_does_not_outlive_an_agent_that_is_killed(tmp_path):
    here = Path(__file__).parent
    command = [sys.executable, "-c", AGENT, str(tmp_path / "edge"), str(here), str(here.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        envoy = int(agent.stdout.readline())
        assert alive(envoy)
        agent.kill()
        agent.wait()

    async def gone():
        return not alive(envoy)

    asyncio.run(until(gone))


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_taken_port_is_named(tmp_path):
    async def main():
        region = await start_region("squatter")
        spec = spec_for(tmp_path / "edge", "active-active", 1, RoutePolicy())
        taken = msgspec.structs.replace(spec, listen=Address("127.0.0.1", region.port))
        agent = EdgeAgent(taken, [], clock=SystemClock(), telemetry=Hub())
        try:
            with pytest.raises(PortTaken, match=str(region.port)):
                await agent.start()
        finally:
            await agent.stop()
            await region.kill()
            region.process._transport.close()

    asyncio.run(main())
