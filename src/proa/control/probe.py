"""The probe: one request to a region's own address, a second one only where the first says nothing.

Any answer at all proves that the process lives, so a healthy region costs one request on a kept-alive connection. Only
when the deep check hangs is the shallow one asked, to tell a slow region from a dead one. `Prober` is that logic over
any transport; `proa.local.probe` is the one over real HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

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
    except ValueError:
        return ("unreadable",)
    failing = (name for name, entries in document.checks.items() if any(entry.status == "fail" for entry in entries))
    return tuple(sorted(failing)) or (("health",) if document.ready else ("ready",))
