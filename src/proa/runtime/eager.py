"""A time-out that costs nothing until its coroutine waits, and that may be moved while it does.

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


async def within(seconds: Callable[[], float], work: Coroutine[Any, Any, T], limit: Limit | None = None) -> T:
    """The result of `work`; TimeoutError if it is still waiting when `seconds()`, asked at its first wait, are over.

    Whoever brings the `limit` may move it from then on.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as finished:
        return finished.value
    return await (limit or Limit()).run(work, waits_for, seconds())


class Limit:
    """The time of one coroutine. `over`: it has run out."""

    __slots__ = ("_cut", "_timer", "_waits_for", "over")

    def __init__(self) -> None:
        self._waits_for: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._cut = False
        self.over = False

    def move(self, seconds: float) -> None:
        """The coroutine has so long from now on, if it is waiting; before, nobody has asked yet how long it has."""
        if self._timer and not self.over:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._time_is_up)

    async def run(self, work: Coroutine[Any, Any, Any], waits_for: Any, seconds: float) -> Any:
        """The result of a coroutine that has been started, and waits."""
        task, self._waits_for = asyncio.current_task(), waits_for
        asked_before = task.cancelling() if task else 0
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_is_up)
        try:
            return await self._resumed(work)
        except asyncio.CancelledError as error:
            if self.over and not (task and task.cancelling() > asked_before):
                raise TimeoutError from error
            raise
        finally:
            self._timer.cancel()

    def _time_is_up(self) -> None:
        self.over = True
        self._cut = self._waits_for is None or not self._waits_for.cancel()

    @coroutine
    def _resumed(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Hand out what the coroutine waits for, hand in what comes."""
        while True:
            try:
                try:
                    value = yield self._waits_for
                    self._check()
                except BaseException as error:  # noqa: BLE001 - a cancellation or a failed future belongs to `work`
                    self._waits_for = work.throw(error)
                else:
                    self._waits_for = work.send(value)
            except StopIteration as finished:
                return finished.value

    def _check(self) -> None:
        """Cancel now if there was nothing to cancel when the time was up: what was waited for had just come."""
        if self._cut:
            self._cut = False
            raise asyncio.CancelledError
