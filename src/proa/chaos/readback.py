"""Asking every survivor for everything that was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request

CONNECTIONS = 16
TIMEOUT_S = 3.0
PAUSE_S = 0.2


async def absent_everywhere(
    survivors: Mapping[str, str], paths: Collection[str], settle_s: float
) -> dict[str, frozenset[str]]:
    """Per survivor (name -> address), the paths that it did not answer with success.

    A survivor may still be catching up, so what is absent is asked for again until `settle_s` have passed.
    """
    names = list(survivors)
    found = await asyncio.gather(*(absent(survivors[name], paths, settle_s) for name in names))
    return dict(zip(names, found, strict=True))


async def absent(url: str, paths: Collection[str], settle_s: float) -> frozenset[str]:
    """The paths that one survivor did not answer with success."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settle_s
    client = HttpClient(url)
    try:
        missing = await _ask(client, paths)
        while missing and loop.time() < deadline:
            await asyncio.sleep(PAUSE_S)
            missing = await _ask(client, missing)
    finally:
        client.close()
    return missing


async def _ask(client: HttpClient, paths: Collection[str]) -> frozenset[str]:
    waiting, missing = iter(paths), set[str]()

    async def ask() -> None:
        for path in waiting:
            answer = await client.send(Request("GET", path), TIMEOUT_S)
            if not answer.ok:
                missing.add(path)

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return frozenset(missing)
