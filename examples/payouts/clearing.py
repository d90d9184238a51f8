"""The bank that payouts go through: how it is asked, and a stand-in for the laptop that keeps a ledger.

It knows a repeat by its key, as banks that take payment orders do. Accounts that begin with `closed` it refuses.

    python examples/payouts/clearing.py --port 8790
    curl localhost:8790/transfers                       # what it moved, and how often it was asked for each
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import suppress

import msgspec
from aiohttp import ClientSession, ClientTimeout, web

PORT = 8790
TAKES_S_MAX = 1.0
"""Who has no answer by then asks again."""
VARIABLE = "PAYOUTS_BANK"
CLOSED = "closed"


class Answer(msgspec.Struct, frozen=True):
    """What the bank says of a transfer: its `reference`, or why it was `refused`."""

    reference: str = ""
    refused: str = ""


class Transfer(msgspec.Struct):
    """A transfer in the bank's ledger: under which key it was asked for, and how often; whether it was taken back."""

    key: str
    payout: str
    account: str
    amount: int
    answer: Answer
    asked: int = 0
    recalled: bool = False

    @property
    def moved(self) -> bool:
        """Whether the money is with the account."""
        return bool(self.answer.reference) and not self.recalled


class Ledger:
    """What the bank keeps. No network."""

    def __init__(self) -> None:
        self.transfers: dict[str, Transfer] = {}
        self._recalled: set[str] = set()

    def transfer(self, payout: str, account: str, amount: int, key: str) -> Answer:
        """Move an amount, once for a key."""
        if key not in self.transfers:
            answer = self._answer(payout, account)
            self.transfers[key] = Transfer(key, payout, account, amount, answer)
        self.transfers[key].asked += 1
        return self.transfers[key].answer

    def _answer(self, payout: str, account: str) -> Answer:
        if account.startswith(CLOSED):
            return Answer(refused="the account is closed")
        if payout in self._recalled:
            return Answer(refused="the payout was recalled")
        return Answer(reference=f"T{len(self.transfers) + 1:06d}")

    def recall(self, payout: str) -> None:
        """Give back what was moved for a payout, and move nothing for it from now on."""
        self._recalled.add(payout)
        for found in self.transfers.values():
            if found.payout == payout:
                found.recalled = True


# How it is asked.


def url() -> str:
    """Where the bank is."""
    return os.environ.get(VARIABLE, f"http://127.0.0.1:{PORT}")


async def transfer(payout: str, account: str, amount: int, key: str) -> Answer:
    """Have an amount moved."""
    order = {"payout": payout, "account": account, "amount": amount}
    return msgspec.json.decode(await _ask("/transfers", order, key), type=Answer)


async def recall(payout: str) -> None:
    """Have an amount given back."""
    await _ask("/recalls", {"payout": payout}, payout)


async def _ask(path: str, body: object, key: str) -> bytes:
    async with (
        ClientSession(timeout=ClientTimeout(TAKES_S_MAX)) as session,
        session.post(url() + path, data=msgspec.json.encode(body), headers={"Idempotency-Key": key}) as answer,
    ):
        answer.raise_for_status()
        return await answer.read()


# The stand-in.


def http(ledger: Ledger) -> web.Application:
    """The bank's front door."""

    async def transfer(request: web.Request) -> web.Response:
        order = await request.json()
        key = request.headers["Idempotency-Key"]
        return _json(ledger.transfer(order["payout"], order["account"], order["amount"], key))

    async def recall(request: web.Request) -> web.Response:
        ledger.recall((await request.json())["payout"])
        return web.Response(status=204)

    async def listed(_: web.Request) -> web.Response:
        return _json(list(ledger.transfers.values()))

    server = web.Application()
    server.add_routes([web.post("/transfers", transfer), web.post("/recalls", recall), web.get("/transfers", listed)])
    return server


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def _main(port: int, *, until_eof: bool) -> None:
    runner = web.AppRunner(http(Ledger()), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201 - this line is its output
        await (asyncio.to_thread(sys.stdin.read) if until_eof else asyncio.Event().wait())
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input closes")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(options.port, until_eof=options.until_eof))
