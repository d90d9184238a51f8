"""The bank that payments asks for exchange rates: how it is called, and a stand-in for the laptop.

The stand-in is as well as it is told to be, so that one can watch what the app's policies make of it:

    python examples/payments/bank.py --port 8790
    curl -X POST 'localhost:8790/mood?slow_s=2'         # every answer takes two seconds
    curl -X POST 'localhost:8790/mood?fail=0.5'         # every second call fails
    curl -X POST 'localhost:8790/mood'                  # well again
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import ClientSession, web

from proa import NotFound

PORT = 8790
URL = os.environ.get("PAYMENTS_BANK", f"http://127.0.0.1:{PORT}")
RATES = {"EUR": 1_000_000, "USD": 920_000, "GBP": 1_170_000}


class Rate(msgspec.Struct, frozen=True):
    """What one unit of a currency is worth, in millionths of a euro."""

    currency: str
    micro_euros: int


async def ask(currency: str) -> Rate:
    """What the bank says a currency is worth."""
    async with ClientSession() as session, session.get(f"{URL}/rates/{currency}") as answer:
        if answer.status == web.HTTPNotFound.status_code:
            raise NotFound(f"the bank knows no currency {currency}")
        answer.raise_for_status()
        return msgspec.json.decode(await answer.read(), type=Rate)


# The stand-in.


def http() -> web.Application:
    """The bank's rates, and its mood."""
    mood = {"slow_s": 0.0, "fail": 0.0}

    async def rate(request: web.Request) -> web.Response:
        await asyncio.sleep(mood["slow_s"])
        if random.random() < mood["fail"]:  # noqa: S311 - a mood, not a secret
            raise web.HTTPInternalServerError
        currency = request.match_info["currency"]
        if currency not in RATES:
            raise web.HTTPNotFound
        return web.json_response({"currency": currency, "micro_euros": RATES[currency]})

    async def change(request: web.Request) -> web.Response:
        for name in mood:
            mood[name] = float(request.query.get(name, 0))
        return web.json_response(mood)

    server = web.Application()
    server.add_routes([web.get("/rates/{currency}", rate), web.post("/mood", change)])
    return server


@asynccontextmanager
async def serving(port: int = PORT) -> AsyncIterator[str]:
    """Serve on loopback while the block runs; yields the address. Port 0 takes a free one."""
    runner = web.AppRunner(http(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _main(port: int, *, until_eof: bool) -> None:
    async with serving(port) as url:
        print(url, flush=True)  # noqa: T201 - a program of its own: this line is its output
        await (asyncio.to_thread(sys.stdin.read) if until_eof else asyncio.Event().wait())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input closes")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(options.port, until_eof=options.until_eof))
