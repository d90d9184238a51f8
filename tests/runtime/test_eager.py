"""A time-out that is armed only when its coroutine waits."""

import asyncio

import pytest

from proa.runtime.eager import Limit, within


def test_a_coroutine_that_never_waits_is_never_asked_for_a_deadline():
    async def at_once():
        return 7

    assert asyncio.run(within(lambda: pytest.fail("armed"), at_once())) == 7


def test_a_coroutine_that_waits_gets_its_results_and_failures():
    async def waits():
        assert await asyncio.sleep(0, "first") == "first"
        failing = asyncio.get_running_loop().create_future()
        failing.get_loop().call_soon(failing.set_exception, KeyError("second"))
        with pytest.raises(KeyError, match="second"):
            await failing
        async with asyncio.timeout(1):
            return await asyncio.sleep(0.001, "third")

    assert asyncio.run(within(lambda: 5, waits())) == "third"


def test_what_the_coroutine_raises_comes_out_before_and_after_a_wait():
    async def raises(wait):
        if wait:
            await asyncio.sleep(0)
        raise ValueError("mine")

    for wait in (False, True):
        with pytest.raises(ValueError, match="mine"):
            asyncio.run(within(lambda: 5, raises(wait)))


def test_a_coroutine_that_waits_too_long_is_cut_and_may_clean_up():
    cleaned = []

    async def hangs():
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    with pytest.raises(TimeoutError):
        asyncio.run(within(lambda: 0.01, hangs()))
    assert cleaned == [True]


def test_cancellation_from_outside_reaches_the_coroutine():
    async def main():
        task = asyncio.create_task(within(lambda: 60, asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_coroutine_that_never_lets_go_for_long_is_cut_too():
    async def busy():
        while True:
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        asyncio.run(within(lambda: 0, busy()))


def test_a_limit_may_be_moved_while_its_coroutine_waits():
    async def main():
        limits = [Limit(), Limit(), Limit()]
        later, sooner, left = (
            asyncio.create_task(within(lambda: 0.05, asyncio.sleep(0.1, "slept"), limits[0])),
            asyncio.create_task(within(lambda: 60, asyncio.sleep(60), limits[1])),
            asyncio.create_task(within(lambda: 0.05, asyncio.sleep(60), limits[2])),
        )
        await asyncio.sleep(0)
        limits[0].move(60)
        limits[1].move(0.01)
        assert await later == "slept"
        for cut in (sooner, left):
            with pytest.raises(TimeoutError):
                await cut
        limits[2].move(60)
        assert [limit.over for limit in limits] == [False, True, True]

    asyncio.run(main())


def test_a_result_that_came_at_the_last_moment_does_not_outlive_the_time():
    async def main():
        loop = asyncio.get_running_loop()
        came = loop.create_future()

        async def waits():
            await came
            await asyncio.sleep(60)

        running = asyncio.create_task(within(lambda: 0, waits()))
        await asyncio.sleep(0)
        came.set_result(None)
        with pytest.raises(TimeoutError):
            await running

    asyncio.run(main())


def test_a_cancellation_from_outside_counts_more_than_the_time():
    async def main():
        started = asyncio.Event()

        async def lingers():
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                task.cancel()
                await asyncio.sleep(0)

        task = asyncio.create_task(within(lambda: 0, lingers()))
        await started.wait()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
