"""What policies around a call cost when nothing fails: microseconds of one call beyond those of the bare function.

The function returns at once and never waits, so that nothing but the policies is measured; processor time, since a
call that waits for nobody has no other. The least of many short rounds, in turns with the peers: what a call costs
when the machine does not interrupt it. The composed stack is retry, budget, breaker (with slow calls), limit and
bulkhead; its peer is stamina around purgatory, which have neither limit nor bulkhead. Both of them with a time-out
are measured around a function that waits once, too: only then is there a timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pybreaker
import stamina
import tenacity
import uvloop
from purgatory import AsyncCircuitBreakerFactory, SyncCircuitBreakerFactory

from figures import Figure, at_most
from proa import Breaker, Bulkhead, Limit, Retry, guard

CALLS = 2000
ROUNDS = 40
Call = Callable[[], Awaitable[int]]
STACK = {
    "retry": Retry(attempts=3),
    "breaker": Breaker(slow_s=1.0),
    "limit": Limit(1e9),
    "bulkhead": Bulkhead(100, max_waiting=100),
}


def run() -> list[Figure]:
    """Coroutines first, then functions that block."""
    stamina.set_testing(False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cost = runner.run(waiting_us())
    cost |= blocking_us()
    return [
        beside(cost, "retry", "tenacity", at_most(1.0)),
        beside(cost, "retry", "stamina"),
        beside(cost, "breaker", "purgatory", at_most(0.7)),
        beside(cost, "stack", "stamina, purgatory", at_most(4.0)),
        beside(cost, "stack, time-out", "stamina, purgatory, time-out", at_most(8.0)),
        beside(cost, "stack, time-out, waits once", "stamina, purgatory, time-out, waits once"),
        beside(cost, "blocking: retry", "blocking: tenacity"),
        beside(cost, "blocking: retry", "blocking: stamina"),
        beside(cost, "blocking: breaker", "blocking: pybreaker"),
        beside(cost, "blocking: breaker", "blocking: purgatory"),
    ]


def beside(cost: dict[str, float], own: str, peer: str, bound=None) -> Figure:
    """One line of the table."""
    return Figure(f"a call behind {own}", cost[own], "us", peer.removeprefix("blocking: "), cost[peer], bound)


# Coroutines.


async def nothing() -> int:
    return 1


async def once() -> int:
    await asyncio.sleep(0)
    return 1


async def waiting_us() -> dict[str, float]:
    """Microseconds of each way to call `nothing`, less those of calling it barely; of `once`, where it says so."""
    breakers = AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=5)
    calls: dict[str, Call] = {
        "bare": nothing,
        "bare, waits once": once,
        "retry": guard(retry=STACK["retry"])(nothing),
        "breaker": guard(breaker=Breaker())(nothing),
        "stack": guard(**STACK)(nothing),
        "stack, time-out": guard(**STACK, timeout_s=1.0)(nothing),
        "stack, time-out, waits once": guard(**STACK, timeout_s=1.0)(once),
        "tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_random_exponential())(
            nothing
        ),
        "stamina": stamina.retry(on=Exception, attempts=3)(nothing),
        "purgatory": breakers("one")(nothing),
        "stamina, purgatory": stamina.retry(on=Exception, attempts=3)(breakers("two")(nothing)),
        "stamina, purgatory, time-out": stamina.retry(on=Exception, attempts=3)(breakers("three")(timed(nothing))),
        "stamina, purgatory, time-out, waits once": stamina.retry(on=Exception, attempts=3)(
            breakers("four")(timed(once))
        ),
    }
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            least[name] = min(least[name], await one_us(call))
    bare = {name: least["bare, waits once" if "waits once" in name else "bare"] for name in least}
    return {name: least[name] - bare[name] for name in least}


def timed(call: Call) -> Call:
    """A call within a second, by what the standard library has."""

    async def within() -> int:
        async with asyncio.timeout(1.0):
            return await call()

    return within


async def one_us(call: Call) -> float:
    """Microseconds of one call."""
    begin = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - begin) / CALLS * 1e6


# Functions that block.


def plain() -> int:
    return 1


def blocking_us() -> dict[str, float]:
    """Microseconds of each way to call `plain`, less those of calling it barely."""
    breakers = SyncCircuitBreakerFactory(default_threshold=5, default_ttl=5)
    calls: dict[str, Callable[[], int]] = {
        "bare": plain,
        "blocking: retry": guard(retry=STACK["retry"])(plain),
        "blocking: breaker": guard(breaker=Breaker())(plain),
        "blocking: tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(3))(plain),
        "blocking: stamina": stamina.retry(on=Exception, attempts=3)(plain),
        "blocking: pybreaker": pybreaker.CircuitBreaker(fail_max=5)(plain),
        "blocking: purgatory": breakers("one")(plain),
    }
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            least[name] = min(least[name], one_blocking_us(call))
    return {name: took - least["bare"] for name, took in least.items() if name != "bare"}


def one_blocking_us(call: Callable[[], int]) -> float:
    """Microseconds of one call."""
    begin = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - begin) / CALLS * 1e6
