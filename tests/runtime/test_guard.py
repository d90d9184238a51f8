"""The driver of policies around coroutines: what they decide is done, in their one order, and told as events."""

import asyncio
import functools
import inspect

import pytest

from proa import Breaker, Budget, Bulkhead, Hedge, Limit, Retry, cached, guard
from proa.errors import (
    BadRequest,
    BreakerOpen,
    BulkheadFull,
    CallTimedOut,
    DeclarationError,
    RateExceeded,
    TooManyRequests,
)
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
from support.ends import LoopClock, SeededEntropy

RETRY = Retry(attempts=3, base_s=1, jitter="none")


def in_virtual_time(test):
    @functools.wraps(test)
    def plain(*args, **kwargs):
        return run(test(*args, **kwargs))

    return plain


def now():
    return asyncio.get_running_loop().time()


class Other:
    """The other side: answers as told, one after the other, and remembers when it was called."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.began = []
        self.cancelled = 0

    async def __call__(self):
        self.began.append(now())
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, float):
            try:
                await asyncio.sleep(end)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return end
        if isinstance(end, Exception):
            raise end
        return end


def guarded(other, **options):
    events = []

    @guard(**options, clock=LoopClock(), entropy=SeededEntropy(), on_event=events.append)
    async def call(*args):
        return await other()

    return call, events


# Retry and budget.


@in_virtual_time
async def test_a_call_is_tried_again_after_its_waits():
    other = Other(ConnectionError(), ConnectionError(), "answer")
    call, events = guarded(other, retry=RETRY)
    assert await call() == "answer"
    assert [at - other.began[0] for at in other.began] == pytest.approx([0, 1, 3])
    assert events == [
        CallRetried("", "call", 1, 1.0, "ConnectionError: "),
        CallRetried("", "call", 2, 2.0, "ConnectionError: "),
    ]


@in_virtual_time
async def test_the_last_failure_is_raised_as_it_was():
    call, events = guarded(Other(ConnectionError("gone")), retry=RETRY)
    with pytest.raises(ConnectionError, match="gone"):
        await call()
    assert events[-1] == RetriesEnded("", "call", 3, "attempts", "ConnectionError: gone")


@in_virtual_time
async def test_a_typed_refusal_is_an_answer_and_not_tried_again():
    other = Other(BadRequest("no such currency"))
    call, events = guarded(other, retry=RETRY, breaker=Breaker(min_calls=1, window_calls=1))
    for _ in range(3):
        with pytest.raises(BadRequest):
            await call()
    assert (len(other.began), events) == (3, [])


@in_virtual_time
async def test_retry_after_is_heeded():
    other = Other(TooManyRequests(headers={"retry-after": "5"}), "answer")
    call, _ = guarded(other, retry=RETRY)
    await call()
    assert other.began[1] - other.began[0] == pytest.approx(6)


@in_virtual_time
async def test_all_callers_share_one_budget():
    other = Other(ConnectionError())
    call, events = guarded(other, retry=Retry(attempts=5, base_s=0), budget=Budget(ratio=0.1, burst=3))
    await asyncio.gather(*(call() for _ in range(20)), return_exceptions=True)
    assert len(other.began) - 20 <= 0.1 * 20 + 3
    assert RetriesEnded("", "call", 1, "budget", "ConnectionError: ") in events


# Breaker.


@in_virtual_time
async def test_a_breaker_opens_lets_its_quota_through_and_closes():
    other = Other(OSError(), OSError(), "answer")
    call, events = guarded(other, breaker=Breaker(min_calls=2, window_calls=4, open_s=5, half_open_calls=1))
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - the class is the point
            await call()
    with pytest.raises(BreakerOpen) as refused:
        await call()
    assert refused.value.headers == {"retry-after": "5"}
    await asyncio.sleep(5)
    assert (await call(), len(other.began)) == ("answer", 3)
    assert events == [
        BreakerOpened("call", "failures", 1.0, 0.0, 2),
        CallRejected("", "call", "breaker"),
        BreakerHalfOpened("call"),
        BreakerClosed("call", "quota passed"),
    ]


@in_virtual_time
async def test_retries_end_when_the_breaker_opens_meanwhile():
    other = Other(OSError())
    call, events = guarded(other, retry=Retry(attempts=9, base_s=0), breaker=Breaker(min_calls=2, window_calls=2))
    with pytest.raises(BreakerOpen):
        await call()
    assert (len(other.began), events[-1].why) == (2, "refused")


@in_virtual_time
async def test_a_cancelled_call_proves_nothing():
    call, events = guarded(Other(60.0), breaker=Breaker(min_calls=1, window_calls=1))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(), 1)
    assert events == []


# Limiter and bulkhead.


@in_virtual_time
async def test_a_limit_refuses_what_is_beyond_it():
    call, events = guarded(Other("answer"), limit=Limit(2, burst=1))
    await call()
    with pytest.raises(RateExceeded):
        await call()
    await asyncio.sleep(0.5)
    assert (await call(), events) == ("answer", [CallRejected("", "call", "limiter")])


@in_virtual_time
async def test_a_bulkhead_lets_some_run_some_wait_and_refuses_the_rest():
    other = Other(1.0)
    call, _ = guarded(other, bulkhead=Bulkhead(2, max_waiting=2, wait_s=5))
    ended = await asyncio.gather(*(call() for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in ended] == [float] * 4 + [BulkheadFull]
    assert [round(at - other.began[0], 3) for at in other.began] == [0, 0, 1, 1]


@in_virtual_time
async def test_nobody_waits_longer_for_a_place_than_is_of_use():
    other = Other(10.0)
    call, _ = guarded(other, bulkhead=Bulkhead(1, max_waiting=1, wait_s=2))
    running, began = asyncio.ensure_future(call()), now()
    await asyncio.sleep(0)
    with pytest.raises(BulkheadFull):
        await call()
    assert now() - began == pytest.approx(2)
    assert (await running, len(other.began)) == (10.0, 1)


@in_virtual_time
async def test_who_is_cancelled_in_line_gives_the_turn_up():
    other = Other(1.0)
    call, _ = guarded(other, bulkhead=Bulkhead(1, max_waiting=1, wait_s=5))
    running = asyncio.ensure_future(call())
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call(), 0.5)
    await running
    assert (await call(), len(other.began)) == (1.0, 2)


# Time-out.


@in_virtual_time
async def test_an_attempt_that_takes_too_long_is_cut_and_tried_again():
    other = Other(9.0, "answer")
    call, events = guarded(other, retry=RETRY, timeout_s=2)
    assert (await call(), other.cancelled, now() - other.began[0]) == ("answer", 1, pytest.approx(3))
    assert events[0] == CallOverdue("", "call", 2.0)


@in_virtual_time
async def test_a_time_out_counts_as_a_failure():
    call, events = guarded(Other(9.0), timeout_s=1, breaker=Breaker(min_calls=1, window_calls=1))
    with pytest.raises(CallTimedOut):
        await call()
    assert isinstance(events[-1], BreakerOpened)


# Hedge.


@in_virtual_time
async def test_the_first_answer_of_two_is_taken_and_the_other_attempt_ends():
    other = Other(9.0, 0.5)
    call, events = guarded(other, hedge=Hedge(after_s=1))
    assert (await call(), now() - other.began[0]) == (0.5, pytest.approx(1.5))
    await asyncio.sleep(0)
    assert other.cancelled == 1
    assert events == [CallHedged("", "call", won=True)]


@in_virtual_time
async def test_a_quick_answer_needs_no_hedge():
    other = Other(0.5)
    call, events = guarded(other, hedge=Hedge(after_s=1))
    assert (await call(), len(other.began), events) == (0.5, 1, [])


@in_virtual_time
async def test_a_hedge_that_fails_leaves_the_first_its_time():
    other = Other(3.0, ConnectionError())
    call, _ = guarded(other, hedge=Hedge(after_s=1))
    assert (await call(), len(other.began)) == (3.0, 2)


@in_virtual_time
async def test_the_budget_pays_for_hedges():
    other = Other(2.0)
    call, _ = guarded(other, hedge=Hedge(after_s=1), budget=Budget(ratio=0.1, burst=2))
    await asyncio.gather(*(call() for _ in range(10)))
    assert len(other.began) - 10 <= 0.1 * 10 + 2


@in_virtual_time
async def test_whoever_cancels_the_call_cancels_both_attempts():
    other = Other(9.0)
    call, _ = guarded(other, hedge=Hedge(after_s=1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call(), 2)
    await asyncio.sleep(0)
    assert other.cancelled == 2


def test_a_function_that_blocks_cannot_be_hedged():
    with pytest.raises(DeclarationError, match="hedge"):
        guard(hedge=Hedge())(print)


# Fallback.


@in_virtual_time
async def test_steps_of_a_fallback_are_tried_in_turn():
    async def from_table(*args):
        raise LookupError

    def degraded(*args):
        return "default"

    other = Other("answer", ConnectionError())
    call, events = guarded(other, fallback=(cached(10), from_table, degraded))
    assert [await call("EUR"), await call("EUR"), await call("USD")] == ["answer", "answer", "default"]
    await asyncio.sleep(11)
    assert await call("EUR") == "default"
    assert [event.step for event in events] == ["cached", "degraded", "degraded"]
    assert isinstance(events[0], FellBack)


@in_virtual_time
async def test_a_typed_refusal_is_not_fallen_back_from():
    call, _ = guarded(Other(BadRequest()), fallback=(lambda: "default",))
    with pytest.raises(BadRequest):
        await call()


@in_virtual_time
async def test_without_a_step_that_answers_the_failure_stands():
    call, _ = guarded(Other(ConnectionError("gone")), fallback=(cached(10),))
    with pytest.raises(ConnectionError, match="gone"):
        await call()


def test_a_guarded_function_is_still_that_function():
    @guard(retry=Retry(), breaker=Breaker(), timeout_s=1, hedge=Hedge(), fallback=(cached(1),))
    async def rate(currency: str) -> float:
        """The rate."""

    assert (rate.__name__, rate.__doc__, inspect.iscoroutinefunction(rate)) == ("rate", "The rate.", True)
