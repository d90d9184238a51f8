"""Other systems in a world: a place on the network that answers with documents, as far as it can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from proa.simulation.network import Network, settle
from proa.simulation.process import Life

READ_S = 1.0


class SimOutside:
    """`ports.Outside` of one process. Where nothing is kept under an address, whoever asks is told so."""

    def __init__(self, life: Life, network: Network, place: str, documents: Mapping[str, bytes]) -> None:
        self._life = life
        self._network = network
        self._place = place
        self._documents = documents

    async def get(self, url: str, *, timeout_s: float) -> bytes:
        self._life.port()
        future: asyncio.Future[bytes] = self._network.loop.create_future()
        name, place = self._life.name, self._place

        def asked(_: Any) -> None:
            body = self._documents.get(url)
            error = None if body is not None else OSError(f"{url} answered 404")
            self._network.send(place, name, url, body or b"", lambda _: settle(future, body, error), once=True)

        self._network.send(name, place, f"GET {url}", b"", asked, once=True)
        self._network.loop.limit(future, timeout_s, lambda: TimeoutError(f"{url} did not answer"))
        return await future


class SimSecrets:
    """`ports.Secrets` of one process: a secret is a document under `secret:NAME`, its versions a line each."""

    def __init__(self, outside: SimOutside) -> None:
        self._outside = outside

    async def read(self, name: str) -> tuple[str, ...]:
        return tuple((await self._outside.get(f"secret:{name}", timeout_s=READ_S)).decode().split())
