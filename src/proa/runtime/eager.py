"""A time-out that costs nothing until its coroutine waits.

Most handlers on an embedded store never wait: they run to their end in one step. So the first step is taken at once,
and only a coroutine that is then still waiting gets a timer. That timer works as a task's cancellation does: it cancels
what the coroutine waits for, and what then comes out of it as a cancellation is the time-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: Callable[[], float], work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; TimeoutError if it is still waiting when `seconds()`, asked at its first wait, are over."""
    try:
        waits_for = work.send(None)
    except StopIteration as finished:
        return finished.value
    return await _Limited(work, waits_for).run(seconds())


class _Limited:
    """A coroutine that has been started, and the time it is given from now on."""

    __slots__ = ("_cut", "_over", "_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for
        self._over = False
        self._cut = False

    async def run(self, seconds: float) -> Any:
        task = asyncio.current_task()
        asked_before = task.cancelling() if task else 0
        timer = asyncio.get_running_loop().call_later(seconds, self._time_is_up)
        try:
            return await self._resumed()
        except asyncio.CancelledError as error:
            if self._over and not (task and task.cancelling() > asked_before):
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()

    def _time_is_up(self) -> None:
        self._over = True
        self._cut = self._waits_for is None or not self._waits_for.cancel()

    @coroutine
    def _resumed(self) -> Generator[Any, Any, Any]:
        """Hand out what the coroutine waits for, hand in what comes."""
        while True:
            try:
                try:
                    value = yield self._waits_for
                    self._check()
                except BaseException as error:  # noqa: BLE001 - a cancellation or a failed future belongs to `work`
                    self._waits_for = self._work.throw(error)
                else:
                    self._waits_for = self._work.send(value)
            except StopIteration as finished:
                return finished.value

    def _check(self) -> None:
        """Cancel now if there was nothing to cancel when the time was up: what was waited for had just come."""
        if self._cut:
            self._cut = False
            raise asyncio.CancelledError
