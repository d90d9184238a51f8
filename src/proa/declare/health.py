"""Declared health checks: asked in the background, their last verdict cached, so that a probe never waits for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from proa.errors import DeclarationError

Check = Callable[[], Awaitable[bool]]


class HealthCheck(msgspec.Struct, frozen=True):
    """A check that runs every `every_s`, counts as failed after `fail_after` failures, and is cut at `timeout_s`."""

    name: str
    check: Check
    every_s: float = 5.0
    fail_after: int = 3
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if self.every_s <= 0 or self.timeout_s <= 0 or self.fail_after < 1:
            raise DeclarationError(f"health check {self.name}: every_s, timeout_s and fail_after must be positive")
