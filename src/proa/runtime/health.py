"""Deep health: a verdict that is always ready, because checks run in the background and never while it is asked for.

A check that hangs is cut at its time-out and counts as failed; it delays neither the verdict nor other checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from proa.declare.context import CURRENT, UnitOfWork
from proa.declare.health import HealthCheck
from proa.ports import Clock, HealthReport, Telemetry
from proa.runtime.events import CheckFailed, CheckPassed

if TYPE_CHECKING:
    from proa.runtime.region import Region

Facts = Callable[[], dict[str, str]]
"""What the region knows of itself without asking anybody: failing component -> why."""


class Checked(msgspec.Struct):
    """The state of one declared check."""

    failures: int = 0
    failing: bool = False
    detail: str = ""
    observed_at: float = 0.0

    @property
    def status(self) -> str:
        """As health+json calls it: a check that failed, but not often enough yet, is a warning."""
        return "fail" if self.failing else "warn" if self.failures else "pass"


class Findings(msgspec.Struct, frozen=True):
    """What is known of a region's health: failing components, the declared checks, and what people should know."""

    facts: dict[str, str]
    checks: list[tuple[str, str, str]]
    warnings: dict[str, str]

    def page(self, region: str, *, ready: bool) -> dict[str, object]:
        """The verdict as application/health+json."""
        failing = self.facts or any(status == "fail" for _, status, _ in self.checks)
        checks = {name: [{"status": "fail", "output": why}] for name, why in self.facts.items()}
        checks |= {name: [{"status": status, "output": detail}] for name, status, detail in self.checks}
        checks |= {name: [{"status": "warn", "output": why}] for name, why in self.warnings.items()}
        status = "fail" if failing else "warn" if self.warnings else "pass"
        return {"status": status, "serviceId": region, "ready": ready, "checks": checks}


class HealthMonitor:
    """Runs the declared checks and keeps the region's verdict."""

    def __init__(
        self,
        checks: Iterable[HealthCheck],
        unit: Callable[[], UnitOfWork],
        facts: Facts,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._checks = tuple(checks)
        self._unit = unit
        self._facts = facts
        self._clock = clock
        self._telemetry = telemetry
        self.warnings: Facts = dict
        self.states = {check.name: Checked() for check in self._checks}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch(check)) for check in self._checks]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def report(self, *, ready: bool) -> HealthReport:
        """The verdict now, out of memory."""
        failing = (*self._facts(), *[name for name, state in self.states.items() if state.failing])
        return HealthReport("fail" if failing else "warn" if self.warnings() else "pass", failing, ready)

    def findings(self) -> Findings:
        """All that the page says, out of memory."""
        checks = [(name, state.status, state.detail) for name, state in self.states.items()]
        return Findings(self._facts(), checks, self.warnings())

    async def _watch(self, check: HealthCheck) -> None:
        state = self.states[check.name]
        while True:
            self._note(check, state, await self._run(check))
            await self._clock.sleep(check.every_s)

    async def _run(self, check: HealthCheck) -> str:
        """Empty where the check passed, else why not."""
        token = CURRENT.set(self._unit())
        try:
            async with asyncio.timeout(check.timeout_s):
                return "" if await check.check() else "returned False"
        except TimeoutError:
            return f"took longer than {check.timeout_s:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises is its verdict
            return f"raised {type(error).__name__}: {error}"
        finally:
            CURRENT.reset(token)

    def _note(self, check: HealthCheck, state: Checked, problem: str) -> None:
        state.detail = problem
        state.observed_at = self._clock.now()
        state.failures = state.failures + 1 if problem else 0
        failing = state.failures >= check.fail_after
        if failing != state.failing:
            state.failing = failing
            self._telemetry.emit(CheckFailed(check.name, problem) if failing else CheckPassed(check.name))


def facts(region: Region) -> dict[str, str]:
    """The failing components of a region that need no asking."""
    found: dict[str, str] = {}
    if not region.origin:
        found["store"] = "no incarnation yet"
    if spoilt := region.readiness.spoilt or region.store.damaged:
        found["store"] = spoilt
    if region.authority.clock_off:
        found["clock"] = "out of bound"
    if region.authenticator and (issuers := region.authenticator.failing()):
        found["identity"] = f"no keys to verify tokens of {issuers}"
    if region.secrets and (names := region.secrets.failing()):
        found["secrets"] = f"cannot be read: {names}"
    return found


def warnings(region: Region) -> dict[str, str]:
    """What people should know of a region, although it makes it unfit for nothing."""
    return region.messages.alarms.warnings() if region.messages else {}
