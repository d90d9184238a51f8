"""The probe: one request to a region's own address, a second one only where the first says nothing.

Any answer at all proves that the process lives, so a healthy region costs one request on a kept-alive connection. Only
when the deep check hangs is the shallow one asked, to tell a slow region from a dead one. `Prober` is that logic over
any transport; `HttpProbe` is the one over real HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

import aiohttp
import msgspec

from proa.core.roles import Observation

HEALTH = "/_proa/health"
LIVE = "/_proa/live"
WELL = Observation(True, "pass")
SLOW = "health-timeout"
"""The failing check of a region that lives but does not say how it is."""

Get = Callable[[str, str], Awaitable[tuple[int, bytes]]]
"""A GET to a region's own address: (region, path) to (status, body). OSError, of which TimeoutError is one, if nothing
came; it gives up by itself."""


class Prober:
    """`observer.Probe` over `get`."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._doubted: set[str] = set()

    async def __call__(self, region: str, /) -> Observation:
        doubted = region in self._doubted
        if doubted:  # asked side by side, so that a region that is gone costs one time-out, not two
            deep, live = await asyncio.gather(self._deep(region), self._live(region))
        else:
            deep, live = await self._deep(region), False
        found = deep or (Observation(True, "fail", (SLOW,)) if live else Observation(False))
        if not deep:
            self._doubted.add(region)
        elif doubted:
            self._doubted.remove(region)
        return found

    async def _deep(self, region: str) -> Observation | None:
        try:
            status, body = await self._get(region, HEALTH)
        except OSError:
            return None
        return WELL if status == 200 else Observation(True, "fail", failing_checks(body))

    async def _live(self, region: str) -> bool:
        try:
            status, _ = await self._get(region, LIVE)
        except OSError:
            return False
        return status < 500


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


class Check(msgspec.Struct):
    """One entry under `checks`; other members are the region's own affair."""

    status: str = "pass"


class Health(msgspec.Struct):
    """What is read of an `application/health+json` document."""

    checks: dict[str, list[Check]] = {}
    ready: bool = True


def failing_checks(body: bytes) -> tuple[str, ...]:
    """The names of the checks that fail in an `application/health+json` document."""
    try:
        document = msgspec.json.decode(body, type=Health)
    except msgspec.MsgspecError:
        return ("unreadable",)
    failing = (name for name, entries in document.checks.items() if any(entry.status == "fail" for entry in entries))
    return tuple(sorted(failing)) or (("health",) if document.ready else ("ready",))
