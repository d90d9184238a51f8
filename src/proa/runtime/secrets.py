"""A region's secrets: read at the start, looked for again in the background, kept through an outage up to a bound.

Handlers find them in memory, so that none waits for the place where they are kept. What is told of them is their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from proa.declare.secrets import Secret
from proa.errors import SecretUnavailable
from proa.ports import Clock, Secrets, Severity, Telemetry

RETRY_S = 1.0
"""How soon a secret is looked for again that this region does not have."""


class SecretRead(msgspec.Struct, frozen=True):
    """There is a new version of a secret."""

    name: str
    versions: int


class SecretNotRead(msgspec.Struct, frozen=True):
    """A secret cannot be read; the version at hand serves on for a while, if there is one."""

    severity: ClassVar[Severity] = "warning"
    name: str
    detail: str


class Held(msgspec.Struct):
    """What a region has of a secret, since when (monotonic), and whether the last look failed."""

    versions: tuple[str, ...] = ()
    read_at: float = float("-inf")
    failing: bool = False


class Keeper:
    """Keeps the declared secrets of one region."""

    def __init__(self, declared: Mapping[str, Secret], place: Secrets, clock: Clock, telemetry: Telemetry) -> None:
        self._declared = declared
        self._place = place
        self._clock = clock
        self._telemetry = telemetry
        self._held = {name: Held() for name in declared}
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        loop = asyncio.get_running_loop()
        self._running = [loop.create_task(self._keep(secret)) for secret in self._declared.values()]

    def stop(self) -> None:
        """End that."""
        for task in self._running:
            task.cancel()

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a secret that are good; SecretUnavailable where there is none young enough."""
        held = self._held[name]
        if not held.versions or self._clock.monotonic() - held.read_at > self._declared[name].stale_s:
            raise SecretUnavailable(f"secret {name} cannot be read")
        return held.versions

    def failing(self) -> str:
        """The names of those that this region does not have; empty where it has all."""
        return ", ".join(name for name, held in self._held.items() if not held.versions)

    async def look(self, secret: Secret) -> None:
        """Read one secret, now."""
        held = self._held[secret.name]
        try:
            versions = await self._place.read(secret.name)
        except (OSError, LookupError, ValueError) as error:
            if not held.failing:
                self._telemetry.emit(SecretNotRead(secret.name, f"{type(error).__name__}: {error}"))
            held.failing = True
            return
        if versions != held.versions:
            self._telemetry.emit(SecretRead(secret.name, len(versions)))
        held.versions, held.read_at, held.failing = versions, self._clock.monotonic(), False

    async def _keep(self, secret: Secret) -> None:
        held = self._held[secret.name]
        while True:
            await self.look(secret)
            await self._clock.sleep(secret.refresh_s if held.versions else min(RETRY_S, secret.refresh_s))
