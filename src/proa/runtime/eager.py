"""A time-out that costs nothing until its coroutine waits.

Most handlers on an embedded store never wait: they run to their end in one step. So the first step is taken at once,
and only a coroutine that is then still waiting gets a timer.
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
        waited_for = work.send(None)
    except StopIteration as finished:
        return finished.value
    async with asyncio.timeout(seconds()):
        return await _resumed(work, waited_for)


@coroutine
def _resumed(work: Coroutine[Any, Any, T], waited_for: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has been started: hand out what it waits for, hand in what comes."""
    while True:
        try:
            try:
                value = yield waited_for
            except BaseException as error:  # noqa: BLE001 - a cancellation or a failed future belongs to `work`
                waited_for = work.throw(error)
            else:
                waited_for = work.send(value)
        except StopIteration as finished:
            return finished.value
