"""Asking every survivor for everything that was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request

CONNECTIONS = 16
TIMEOUT_S = 3.0
PAUSE_S = 0.2


Headers = tuple[tuple[str, str], ...]


async def absent_everywhere(
    survivors: Mapping[str, str], paths: Collection[str], settle_s: float, headers: Headers = ()
) -> dict[str, frozenset[str]]:
    """Per survivor (name -> address), the paths that it did not answer with success.

    A survivor may still be catching up, so what is absent is asked for again until `settle_s` have passed.
    """
    names = list(survivors)
    found = await asyncio.gather(*(absent(survivors[name], paths, settle_s, headers) for name in names))
    return dict(zip(names, found, strict=True))


async def absent(url: str, paths: Collection[str], settle_s: float, headers: Headers = ()) -> frozenset[str]:
    """The paths that one survivor did not answer with success."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settle_s
    client = HttpClient(url)
    try:
        missing = await _ask(client, paths, headers)
        while missing and loop.time() < deadline:
            await asyncio.sleep(PAUSE_S)
            missing = await _ask(client, missing, headers)
    finally:
        client.close()
    return missing


async def _ask(client: HttpClient, paths: Collection[str], headers: Headers) -> frozenset[str]:
    waiting, missing = iter(paths), set[str]()

    async def ask() -> None:
        for path in waiting:
            answer = await client.send(Request("GET", path, headers=headers), TIMEOUT_S)
            if not answer.ok:
                missing.add(path)

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return frozenset(missing)
