"""The probe over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import aiohttp

from proa.control.probe import Prober


class HttpGet:
    """`Get` over kept-alive connections. `base_url` gives a region's address, `http://host:port`."""

    def __init__(self, base_url: Callable[[str], str], timeout_s: float) -> None:
        self._base_url = base_url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, connector=aiohttp.TCPConnector(limit_per_host=4))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def __call__(self, region: str, path: str, /) -> tuple[int, bytes]:
        assert self._session is not None, "use it as `async with HttpGet(...)`"
        try:
            async with self._session.get(self._base_url(region) + path) as response:
                return response.status, await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{region}{path}: {error}") from error


class HttpProbe(Prober):
    """A `Prober` with an `HttpGet` of its own; use it as `async with HttpProbe(...)`."""

    def __init__(self, base_url: Callable[[str], str], timeout_s: float) -> None:
        self._http = HttpGet(base_url, timeout_s)
        super().__init__(self._http)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()
