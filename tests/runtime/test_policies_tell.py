"""Each policy tells what it did by a typed event, the same around a coroutine and around a function that blocks."""

import asyncio
from contextlib import suppress

import pytest

from proa import Breaker, Budget, Bulkhead, Hedge, Limit, Retry, cached, guard
from proa.runtime.calls import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    CallHedged,
    CallOverdue,
    CallRejected,
    CallRetried,
    FellBack,
    RetriesEnded,
)
from proa.simulation.loop import run
from support.ends import LoopClock, SeededEntropy, ThreadlessClock

OWN, GONE = ("", "call"), "OSError: gone"


class Again:
    """An end that calls the function again while it runs."""


def coroutine(ends, pauses, options):
    """The events of calls that end as told, with a pause after each."""
    events, left = [], list(ends)

    async def main():
        @guard(**options, clock=LoopClock(), entropy=SeededEntropy(), on_event=events.append)
        async def call():
            end = left.pop(0)
            if isinstance(end, float):
                await asyncio.sleep(end)
            if isinstance(end, Again):
                await call()
            if isinstance(end, Exception):
                raise end

        for pause in pauses:
            await asyncio.gather(call(), return_exceptions=True)
            await asyncio.sleep(pause)

    run(main())
    return events


def blocking(ends, pauses, options):
    events, left, clock = [], list(ends), ThreadlessClock(0.0)

    @guard(**options, clock=clock, entropy=SeededEntropy(), on_event=events.append)
    def call():
        end = left.pop(0)
        if isinstance(end, float):
            clock.block(end)
        if isinstance(end, Again):
            call()
        if isinstance(end, Exception):
            raise end

    for pause in pauses:
        with suppress(Exception):
            call()
        clock.block(pause)
    return events


def gone():
    return OSError("gone")


RETRY = Retry(attempts=3, base_s=1, jitter="none")
TOLD = {
    "a retry": ({"retry": RETRY}, [gone(), "answer"], [0], [CallRetried(*OWN, 1, 1.0, GONE)]),
    "the last attempt": (
        {"retry": RETRY},
        [gone(), gone(), gone()],
        [0],
        [
            CallRetried(*OWN, 1, 1.0, GONE),
            CallRetried(*OWN, 2, 2.0, GONE),
            RetriesEnded(*OWN, 3, "attempts", GONE),
        ],
    ),
    "an empty budget": (
        {"retry": RETRY, "budget": Budget(ratio=0, burst=1)},
        [gone(), gone()],
        [0],
        [CallRetried(*OWN, 1, 1.0, GONE), RetriesEnded(*OWN, 2, "budget", GONE)],
    ),
    "a breaker": (
        {"breaker": Breaker(min_calls=2, window_calls=2, open_s=5, half_open_calls=1)},
        [gone(), gone(), "answer"],
        [0, 0, 5, 0],
        [
            BreakerOpened("call", "failures", 1.0, 0.0, 2),
            CallRejected(*OWN, "breaker"),
            BreakerHalfOpened("call"),
            BreakerClosed("call", "quota passed"),
        ],
    ),
    "slow calls": (
        {"breaker": Breaker(min_calls=2, window_calls=2, slow_s=1, slow_rate=1)},
        [2.0, 2.0],
        [0, 0],
        [BreakerOpened("call", "slow calls", 0.0, 1.0, 2)],
    ),
    "a limit": ({"limit": Limit(1)}, ["answer"], [0, 0], [CallRejected(*OWN, "limiter")]),
    "a bulkhead": ({"bulkhead": Bulkhead(1)}, [Again()], [0], [CallRejected(*OWN, "bulkhead")]),
    "a time-out": ({"timeout_s": 1}, [2.0], [0], [CallOverdue(*OWN, 1)]),
    "a kept answer": ({"fallback": (cached(10),)}, ["answer", gone()], [0, 0], [FellBack(*OWN, "cached", GONE)]),
    "a step": ({"fallback": (dict,)}, [gone()], [0], [FellBack(*OWN, "dict", GONE)]),
}


@pytest.mark.parametrize("form", [coroutine, blocking])
@pytest.mark.parametrize(("options", "ends", "pauses", "told"), TOLD.values(), ids=TOLD)
def test_each_policy_tells_what_it_did(form, options, ends, pauses, told):
    assert form(ends, pauses, options) == told


@pytest.mark.parametrize(("ends", "won"), [([5.0, "answer"], True), ([2.0, 5.0], False)])
def test_a_hedge_tells_whether_it_was_of_use(ends, won):
    assert coroutine(ends, [0], {"hedge": Hedge(after_s=1)}) == [CallHedged(*OWN, won)]
