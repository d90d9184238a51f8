"""The hedge: a second attempt beside a slow one, and the first answer of the two.

The second may go elsewhere, to another region's replica. Where there is such a place and the first attempt fails
before its time, the second is made at once. Whichever is not needed any more is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import wraps
from typing import Any, cast

from proa.core.policy.failures import is_answer
from proa.core.policy.hedge import Pace
from proa.runtime.calls import CallHedged
from proa.runtime.guard import Guarded, Work

Attempt = asyncio.Task[Any]


def hedged(work: Work, guarded: Guarded, elsewhere: Work | None) -> Work:
    """Make a second attempt when the first takes longer than most, if the budget pays for it."""
    hedge = guarded.policies.hedge
    if hedge is None:
        return work
    pace, purse, now, second = Pace(hedge), guarded.purse, guarded.ends.clock.monotonic, elsewhere or work
    earning = purse if guarded.policies.retry is None else None  # a retry has paid in for the call

    @wraps(work)
    async def racing(*args: Any, **kwargs: Any) -> Any:
        began = now()
        if earning:
            earning.earn()
        first = _begun(work, args, kwargs)
        attempts = [first]
        try:
            await asyncio.wait(attempts, timeout=pace.after_s)
            if _needs_help(first, elsewhere) and (purse is None or purse.spend()):
                attempts.append(_begun(second, args, kwargs))
                await _first_answer(attempts)
                guarded.emit(CallHedged, _won(attempts))
            answer = await _chosen(attempts)
        finally:
            for each in attempts:
                each.cancel()
        pace.note(now() - began)
        return answer

    return racing


def _begun(work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Attempt:
    attempt = asyncio.get_running_loop().create_task(cast("Coroutine[Any, Any, Any]", work(*args, **kwargs)))
    attempt.add_done_callback(_seen)
    return attempt


def _seen(attempt: Attempt) -> None:
    """An attempt that nobody waits for any more may fail in silence."""
    if not attempt.cancelled():
        attempt.exception()


def _needs_help(first: Attempt, elsewhere: Work | None) -> bool:
    if not first.done():
        return True
    return elsewhere is not None and not _answered(first)


def _answered(attempt: Attempt) -> bool:
    """Whether it came to an answer, which a typed 4xx is too."""
    if not attempt.done() or attempt.cancelled():
        return False
    error = attempt.exception()
    return error is None or is_answer(error)


async def _first_answer(attempts: list[Attempt]) -> None:
    """Wait until one has answered, or none is left that may."""
    while not any(map(_answered, attempts)) and (open_ := [each for each in attempts if not each.done()]):
        await asyncio.wait(open_, return_when=asyncio.FIRST_COMPLETED)


def _won(attempts: list[Attempt]) -> bool:
    return not _answered(attempts[0]) and _answered(attempts[1])


async def _chosen(attempts: list[Attempt]) -> Any:
    """The first that answered; where none did, the failure of the first, once it is known."""
    return await next((each for each in attempts if _answered(each)), attempts[0])
