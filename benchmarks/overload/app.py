"""The app that is overloaded: each request holds one of four places of a dependency for ten milliseconds.

So it can serve four hundred a second, whatever the processor could. Nobody told it that: `Concurrency()` finds out.
"""

import asyncio

from proa import App, Concurrency

PLACES = 4
HOLD_S = 0.01

app = App("bench-overload", regions=["eu-west-1", "us-east-1"])
app.concurrency(Concurrency(limit_min=2))
places = asyncio.Semaphore(PLACES)


async def depend() -> None:
    """Use the dependency."""
    async with places:
        await asyncio.sleep(HOLD_S)


@app.get("/work", timeout_s=2)
async def work() -> str:
    await depend()
    return "done"


@app.get("/important", timeout_s=2, priority="high")
async def important() -> str:
    await depend()
    return "done"
