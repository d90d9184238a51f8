"""The loop of virtual time: what it does with waits, sleeps and clocks that are wrong."""

import asyncio
from random import Random

import pytest

from proa.simulation.loop import run
from proa.simulation.process import HostClock, Life


def on_loop(story):
    """Run a story, which gets the loop, in virtual time."""

    async def main():
        await story(asyncio.get_running_loop())

    run(main())


def life_on(loop, clock):
    return Life("eu", loop, clock, Random(1), lambda *_: None)


def test_waits_of_one_length_end_in_the_order_in_which_they_began():
    async def story(loop):
        ended = []
        waits = [loop.create_future() for _ in range(3)]
        for number, wait in enumerate(waits):
            wait.add_done_callback(lambda _, number=number: ended.append((number, round(loop.time(), 3))))
            loop.limit(wait, 1.0, TimeoutError)
            await asyncio.sleep(0.25)
        waits[1].set_result("in time")
        await asyncio.sleep(2.0)
        assert ended == [(1, 0.75), (0, 1.0), (2, 1.5)]
        assert [type(wait.exception()) for wait in waits] == [TimeoutError, type(None), TimeoutError]

    on_loop(story)


def test_a_wait_that_begins_after_all_others_are_over_has_its_own_time():
    async def story(loop):
        first, second = loop.create_future(), loop.create_future()
        loop.limit(first, 1.0, TimeoutError)
        first.set_result(None)
        await asyncio.sleep(0.9)
        loop.limit(second, 1.0, TimeoutError)
        with pytest.raises(TimeoutError):
            await second
        assert loop.time() == pytest.approx(1.9)

    on_loop(story)


def test_a_wait_is_as_long_as_the_clock_of_its_process_says():
    async def story(loop):
        clock = HostClock()
        clock.run_at(2.0, loop.now_s)
        life, wait = life_on(loop, clock), loop.create_future()
        life.run(lambda: loop.limit(wait, 1.0, TimeoutError))
        with pytest.raises(TimeoutError):
            await wait
        assert loop.now_s == pytest.approx(0.5)

    on_loop(story)


def test_a_clock_that_changes_its_rate_moves_the_sleeps_that_are_under_way():
    async def story(loop):
        clock = HostClock()
        life = life_on(loop, clock)
        sleeping = life.run(lambda: life.spawn(life.sleep(1.0)))
        await asyncio.sleep(0.5)
        clock.run_at(0.5, loop.now_s)
        loop.retime(life)
        await sleeping
        assert loop.now_s == pytest.approx(1.5)

    on_loop(story)


def test_a_paused_process_hears_of_its_waits_when_it_goes_on():
    async def story(loop):
        life, wait = life_on(loop, HostClock()), loop.create_future()
        life.run(lambda: loop.limit(wait, 1.0, TimeoutError))
        life.pause()
        await asyncio.sleep(3.0)
        assert not wait.done()
        life.resume()
        with pytest.raises(TimeoutError):
            await wait
        assert loop.now_s == pytest.approx(3.0)

    on_loop(story)
