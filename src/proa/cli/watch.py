"""Following a running system: changes of roles and plans from its control tables, and trouble from its nodes' logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from proa.control.view import View
from proa.core.situation import Situation
from proa.local.cluster import Cluster
from proa.local.plane import rules_of
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock, SystemEntropy

LOGS_EVERY_S = 0.5
_LOUD = ("warning", "error", "critical")

Tell = Callable[[msgspec.Struct], None]


class RolesChanged(msgspec.Struct, frozen=True):
    """Another assignment is in force."""

    epoch: int
    revision: int
    roles: dict[str, str]


class PlanMovedOn(msgspec.Struct, frozen=True):
    """A plan took a step; one that waits for approval says so."""

    plan: str
    kind: str
    step: str
    lost: str
    target: str
    awaiting: str


class Logged(msgspec.Struct, frozen=True):
    """A node wrote a line that somebody should read."""

    node: str
    level: str
    text: str


class Screen(Protocol):
    """Shows the system as it is."""

    def show(self, situation: Situation, now: float) -> None: ...


async def watched(cluster: Cluster, tell: Tell, screen: Screen | None) -> None:
    """Tell of every change for ever."""
    hub, clock = Hub(), SystemClock()
    hub.subscribe(tell)
    view = View(cluster.global_store(), rules_of(cluster.app, cluster.config), clock, SystemEntropy(), hub)
    last = view.situation

    def changed() -> None:
        nonlocal last
        for event in differences(last, view.situation):
            tell(event)
        last = view.situation

    view.subscribe(changed)
    async with asyncio.TaskGroup() as group:
        group.create_task(view.run())
        group.create_task(_follow_logs(cluster, tell))
        if screen:
            group.create_task(_keep(screen, view, clock))


def differences(before: Situation, after: Situation) -> Iterator[msgspec.Struct]:
    """What changed between two situations, as events."""
    if after.assignment and after.assignment != before.assignment:
        assignment = after.assignment
        yield RolesChanged(assignment.epoch, assignment.revision, dict(assignment.roles))
    if after.plan and (before.plan is None or (before.plan.id, before.plan.step) != (after.plan.id, after.plan.step)):
        plan = after.plan
        yield PlanMovedOn(
            plan.id, plan.kind, plan.step, plan.lost, plan.target, "approval" if plan.step == "gate" else ""
        )


async def _keep(screen: Screen, view: View, clock: SystemClock) -> None:
    while True:
        screen.show(view.situation, clock.monotonic())
        await clock.sleep(LOGS_EVERY_S)


async def _follow_logs(cluster: Cluster, tell: Tell) -> None:
    """Read on in every node's log; a terminal's comfort, so twice a second is enough."""
    logs = {name: Path(cluster.state_dir, "logs", f"{name}.log") for name in cluster.config.nodes}
    offsets = {name: log.stat().st_size for name, log in logs.items() if log.exists()}
    while True:
        await asyncio.sleep(LOGS_EVERY_S)
        for name, log in logs.items():
            lines, offsets[name] = _new_lines(log, offsets.get(name, 0))
            for line in lines:
                if event := loud(name, line):
                    tell(event)


def _new_lines(log: Path, offset: int) -> tuple[list[bytes], int]:
    """Whole lines beyond `offset`."""
    if not log.exists():
        return [], 0
    with log.open("rb") as file:
        file.seek(offset)
        whole, newline, _ = file.read().rpartition(b"\n")
    return (whole.splitlines(), offset + len(whole) + 1) if newline else ([], offset)


def loud(node: str, line: bytes) -> Logged | None:
    """A line that is worth showing: a warning or an error, or one that is no log line at all."""
    try:
        said = msgspec.json.decode(line, type=dict[str, object])
    except ValueError:
        return Logged(node, "output", line.decode(errors="replace"))
    level = str(said.get("level", ""))
    if level not in _LOUD:
        return None
    rest = {name: value for name, value in said.items() if name not in ("level", "time", "node", "event")}
    values = ", ".join(f"{name} {value}" for name, value in rest.items())
    return Logged(node, level, f"{said.get('event', '')}{': ' if values else ''}{values}")
