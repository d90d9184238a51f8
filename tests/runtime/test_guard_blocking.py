"""The driver of policies around functions that block their thread; many threads share one state."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from proa import Breaker, Budget, Bulkhead, Limit, Retry, cached, guard
from proa.errors import BreakerOpen, BulkheadFull, CallTimedOut, RateExceeded
from proa.runtime.calls import BreakerOpened, CallRetried
from support.ends import SeededEntropy, ThreadlessClock


def guarded(*ends, takes_s=0.0, **options):
    """A function that ends in turn as told, its clock, when it was called, and the events."""
    clock, events, began, left = ThreadlessClock(0.0), [], [], list(ends)

    @guard(**options, clock=clock, entropy=SeededEntropy(), on_event=events.append)
    def call(*args):
        began.append(clock.time)
        clock.block(takes_s)
        end = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(end, Exception):
            raise end
        return end

    return call, clock, began, events


def test_a_call_is_tried_again_after_its_waits():
    retry = Retry(attempts=3, base_s=1, jitter="none")
    call, _, began, events = guarded(OSError(), OSError(), "answer", retry=retry)
    assert (call(), began) == ("answer", [0, 1, 3])
    assert [type(event) for event in events] == [CallRetried, CallRetried]


def test_a_breaker_opens_and_closes():
    breaker = Breaker(min_calls=2, window_calls=2, open_s=5, half_open_calls=1)
    call, clock, _, events = guarded(OSError(), OSError(), "answer", breaker=breaker)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - the class is the point
            call()
    with pytest.raises(BreakerOpen):
        call()
    clock.block(5)
    assert (call(), events[0]) == ("answer", BreakerOpened("call", "failures", 1.0, 0.0, 2))


def test_a_limit_refuses_what_is_beyond_it():
    call, _, _, _ = guarded("answer", limit=Limit(1))
    call()
    with pytest.raises(RateExceeded):
        call()


def test_a_call_that_took_too_long_is_a_failure():
    call, _, _, _ = guarded("answer", takes_s=2, timeout_s=1)
    with pytest.raises(CallTimedOut):
        call()


def test_a_fallback_answers_instead():
    call, clock, _, _ = guarded("answer", OSError(), fallback=(cached(10), lambda _: "default"))
    assert [call("EUR"), call("EUR"), call("USD")] == ["answer", "answer", "default"]
    clock.block(11)
    assert call("EUR") == "default"


def test_what_hangs_is_left_to_itself():
    ended = threading.Event()

    @guard(timeout_s=0.05)
    def hangs():
        ended.wait(5)

    with pytest.raises(CallTimedOut):
        hangs()
    ended.set()


def test_threads_wait_in_line_for_a_place():
    """One place and a line of two: three threads come at once, each is answered, and never do two run together."""
    running, most, together, lock = 0, 0, threading.Barrier(3), threading.Lock()

    @guard(bulkhead=Bulkhead(1, max_waiting=2, wait_s=30))
    def call():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return "answer"

    def comes():
        together.wait(10)
        return [call() for _ in range(200)]

    with ThreadPoolExecutor(3) as threads:
        ends = [ended.result(30) for ended in [threads.submit(comes) for _ in range(3)]]
    assert (ends, most) == ([["answer"] * 200] * 3, 1)


def test_a_full_bulkhead_refuses_other_threads():
    inside, go = threading.Event(), threading.Event()

    @guard(bulkhead=Bulkhead(1))
    def call():
        inside.set()
        go.wait(10)
        return "answer"

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(call)
        inside.wait(10)
        with pytest.raises(BulkheadFull):
            call()
        go.set()
        assert running.result(10) == "answer"


def test_threads_share_a_budget():
    calls = []

    @guard(retry=Retry(attempts=9, base_s=0), budget=Budget(ratio=0, burst=5))
    def call():
        calls.append(1)
        raise OSError

    def failing():
        with pytest.raises(OSError):  # noqa: PT011 - the class is the point
            call()

    with ThreadPoolExecutor(4) as threads:
        for ended in [threads.submit(failing) for _ in range(20)]:
            ended.result(10)
    assert len(calls) == 25
