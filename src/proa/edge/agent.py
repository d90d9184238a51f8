"""The edge's agent: runs Envoy and gives it a new plan only if it is newer than the one on disk.

It is off every request's path. Envoy reads the endpoints file by itself, so nothing the agent does or fails to do stops
traffic, except its end: Envoy must not serve with nobody to tell it of a fail-over, and ends with it.
`local/node.py` hands it the assignments; it asks nobody. What it reports as `epoch` and `revision` is what Envoy itself
says it acts on, so the `propagate` phase of a fail-over is measured, not assumed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from proa.core.roles import Assignment
from proa.core.route import Endpoint, RoutingPlan, newer, plan, readdressed
from proa.edge.admin import Admin, EdgeStats
from proa.edge.envoy import EDS_FILE, Bootstrap, bootstrap, encode, endpoints, plan_of
from proa.edge.process import EnvoyProcess, find_envoy
from proa.errors import NodeFailed, PortTaken
from proa.ports import Clock, Telemetry

_NOTHING = RoutingPlan(0, -1, ())
"""Before any assignment was seen: older than the first."""
_LIVED_S = 10.0
"""An Envoy that ran for this long was well; its end starts the backoff anew."""


class EnvoyStarted(msgspec.Struct, frozen=True):
    """Envoy accepts clients."""

    pid: int
    version: tuple[int, int]


class EnvoyExited(msgspec.Struct, frozen=True):
    """Envoy ended by itself; it is started again after `restart_in_s`."""

    exit_code: int
    restart_in_s: float


class RoutingApplied(msgspec.Struct, frozen=True):
    """Envoy acts on this plan; `took_s` since it was on disk."""

    epoch: int
    revision: int
    took_s: float


class RoutingUnconfirmed(msgspec.Struct, frozen=True):
    """The plan is on disk, but Envoy has not said yet that it acts on it; the agent goes on asking."""

    epoch: int
    revision: int
    waited_s: float


class EdgeAgent:
    """Implements `ports.Edge` on Envoy. `spec.directory` is the agent's own folder."""

    def __init__(
        self,
        spec: Bootstrap,
        regions: Sequence[Endpoint],
        *,
        clock: Clock,
        telemetry: Telemetry,
        client_region: str | None = None,
        concurrency: int = 1,
    ) -> None:
        self._spec = spec
        self._regions = regions
        self._clock = clock
        self._telemetry = telemetry
        self._client_region = client_region
        self._concurrency = concurrency
        self._folder = Path(spec.directory)
        self._admin = Admin(spec.admin)
        self._plan = _NOTHING
        self._effective = _NOTHING
        self._lock = asyncio.Lock()
        self._process: EnvoyProcess | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def epoch(self) -> int:
        """Of the plan that Envoy acts on."""
        return self._effective.epoch

    @property
    def revision(self) -> int:
        """Of the plan that Envoy acts on; -1 before the first."""
        return self._effective.revision

    @property
    def pid(self) -> int | None:
        """Envoy's process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def start(self, ready_within_s: float = 10.0) -> None:
        """Start Envoy on the plan that the folder holds (none: it answers 503 until the first `apply`)."""
        binary = find_envoy()
        self._folder.mkdir(parents=True, exist_ok=True)
        # The regions may listen elsewhere than when the plan was written; the configuration knows where.
        self._put(readdressed(_on_disk(self._folder / EDS_FILE), self._regions))
        _replace(self._folder / "envoy.json", encode(bootstrap(self._spec)))
        try:
            await self._launch(binary, ready_within_s)
        except BaseException:
            await self._admin.close()
            raise
        self._spawn(self._keep_running(binary))
        await self._confirmed(ready_within_s)

    async def stop(self) -> None:
        """End Envoy and everything of the agent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            await self._process.stop()
        await self._admin.close()

    async def apply(self, assignment: Assignment, confirm_within_s: float = 1.0) -> bool:
        """Route by `assignment` if it is newer than what was put in place last; False if it is not.

        Returns when Envoy acts on it, or after `confirm_within_s`; `epoch` and `revision` tell which.
        """
        async with self._lock:
            if not newer(assignment, self._plan):
                return False
            self._put(self._planned(assignment))
            await self._confirmed(confirm_within_s)
            return True

    async def stats(self) -> EdgeStats:
        """Requests, retries and health by region, as Envoy counts them."""
        return await self._admin.stats()

    def _planned(self, assignment: Assignment) -> RoutingPlan:
        return plan(
            assignment,
            self._regions,
            policy=self._spec.policy,
            client_region=self._client_region,
            previous=self._plan,
        )

    def _put(self, new: RoutingPlan) -> None:
        _replace(self._folder / EDS_FILE, encode(endpoints(new)))
        self._plan = new

    async def _confirmed(self, within_s: float) -> None:
        """Wait until Envoy acts on the present plan; past `within_s` the agent goes on asking in the background."""
        expected = self._plan
        done, _ = await asyncio.wait({self._spawn(self._confirm(expected))}, timeout=within_s)
        if not done:
            self._telemetry.emit(RoutingUnconfirmed(expected.epoch, expected.revision, within_s))

    async def _confirm(self, expected: RoutingPlan) -> None:
        """Ask Envoy, ever less often, until it acts on `expected` or another plan has come."""
        started = self._clock.monotonic()
        pause_s = 0.002
        while self._plan is expected:
            if await self._admin.acts_on(expected):
                self._effective = expected
                took_s = self._clock.monotonic() - started
                self._telemetry.emit(RoutingApplied(expected.epoch, expected.revision, took_s))
                return
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.25)

    async def _launch(self, binary: str, ready_within_s: float) -> None:
        config, log = self._folder / "envoy.json", self._folder / "envoy.log"
        process = self._process = await EnvoyProcess.launch(binary, config, log, self._concurrency)
        deadline = self._clock.monotonic() + ready_within_s
        while not await self._admin.ready():
            if process.exit_code is not None or self._clock.monotonic() > deadline:
                await process.stop()
                raise _not_started(log)
            await self._clock.sleep(0.01)
        self._telemetry.emit(EnvoyStarted(process.pid, self._plan.version))

    async def _keep_running(self, binary: str) -> None:
        """Start Envoy again whenever it ends: at once, then ever slower while it does not hold."""
        pause_s = 0.05
        while True:
            process = self._process
            assert process is not None
            since = self._clock.monotonic()
            code = await process.wait()
            pause_s = 0.05 if self._clock.monotonic() - since > _LIVED_S else min(pause_s * 2, 5.0)
            self._telemetry.emit(EnvoyExited(code, pause_s))
            await self._clock.sleep(pause_s)
            await self._relaunch(binary)

    async def _relaunch(self, binary: str) -> None:
        try:
            await self._launch(binary, ready_within_s=5.0)
        except (NodeFailed, PortTaken):
            return  # its exit code is known by now: the loop reports it and waits longer

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _on_disk(path: Path) -> RoutingPlan:
    """The plan in the endpoints file; none if there is no such file or nobody can read it."""
    try:
        return plan_of(msgspec.json.decode(path.read_bytes()))
    except (OSError, msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError):
        return _NOTHING


def _replace(path: Path, content: bytes) -> None:
    """Write durably beside the file, then rename over it: Envoy sees the old document or the new one, never a part."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _not_started(log: Path) -> NodeFailed | PortTaken:
    lines = log.read_text(errors="replace").splitlines()[-5:]
    said = "\n".join(lines)
    if "Address already in use" in said or "cannot bind" in said:
        return PortTaken(f"Envoy cannot listen where the edge is configured to:\n{said}")
    return NodeFailed(f"Envoy did not start; it said:\n{said}")
