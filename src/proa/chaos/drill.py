"""A drill: take a region away under load, let the system recover, give the region back, and make the account.

The course of events is one function after another: set up, load, fault, approval, recovery, (return and fail-back),
read everything back, count rows on disk. What is decided about it is `account`'s; what is done to processes is the
`System`'s.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from proa.app import App, load_app
from proa.chaos import ledger
from proa.chaos.account import Doubled, DrillReport, Evidence, Lag, Phase, Subject, account, acknowledged
from proa.chaos.faults import fault, inject, undo
from proa.chaos.launch import LoadProcess, load_process
from proa.chaos.load import LoadPlan
from proa.chaos.messages import MessageAccount, Name
from proa.chaos.options import DrillOptions, Launch
from proa.chaos.people import People, hire, somebody
from proa.chaos.plans import Plans, following
from proa.chaos.progress import FaultInjected, LoadEnded, LoadStarted, Prepared, Progress, ReadBack, RegionReturned
from proa.chaos.readback import absent_everywhere
from proa.chaos.records import Record
from proa.chaos.system import System
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request, Workload, drill_file, workload_of
from proa.core.plan import Plan
from proa.core.queue import OUTBOX
from proa.core.replicate.stamp import Versions, region_of
from proa.core.roles import ROLES, ROLES_KEY, Assignment
from proa.errors import ProaError

SETTLE_S = 5.0
RECOVER_WITHIN_S = 30.0
RETURN_WITHIN_S = 30.0
FAIL_BACK_WITHIN_S = 60.0
HANDLED_WITHIN_S = 30.0
AFTER_FAIL_BACK_S = 1.0
LOOK_EVERY_S = 0.05
LOAD_AT_MOST_S = 120.0
"""Where the end of the load is decided by events (a fail-back), it ends after this time at the latest."""


class Scene(msgspec.Struct, frozen=True):
    """Everything that takes part."""

    system: System
    app: App
    workload: Workload
    options: DrillOptions
    plans: Plans
    people: People
    tell: Progress

    @property
    def survivors(self) -> list[str]:
        return [region for region in self.system.regions if region != self.options.lose]

    @property
    def fails_over(self) -> bool:
        """Whether the lost region holds a role that another one must take over."""
        return self.app.topology == "active-passive" and self.options.lose == self.app.active


class Course(msgspec.Struct):
    """What happened when, by this machine's clock, and what was noted meanwhile.

    `earlier` are the plans that were over before the fault: what became of them says nothing about it.
    """

    fault_at: float
    held_at_fault: Versions
    left_at_fault: Mapping[Name, float]
    lag_ms: Lag
    earlier: frozenset[str] = frozenset()
    approved_at: float | None = None
    until: float = float("inf")
    recovery: str | None = None
    returned: bool = False
    broken: list[str] = []


class RegionStatus(msgspec.Struct, frozen=True):
    """What matters here of `/_proa/status`."""

    epoch: int
    ready: bool
    caught_up: bool
    lag_ms: dict[str, float] = {}
    duplicates: dict[str, int] = {}
    messages: int = 0


async def rehearse(target: str, options: DrillOptions, launch: Launch, tell: Progress) -> DrillReport:
    """Start a system for the app at `target`, drill it, and stop it."""
    app = load_app(target)
    options, workload = options.on(app), workload_of(target, app)
    with surroundings(workload):
        async with launch(options) as system:
            return await _drill(system, app, workload, drill_file(target), options, tell)


@contextmanager
def surroundings(workload: Workload) -> Generator[None]:
    """What the workload's app needs beside the system; processes started inside find it in their environment."""
    with workload.surroundings() as variables:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            _restore(before)


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


async def _drill(
    system: System, app: App, workload: Workload, file: Path, options: DrillOptions, tell: Progress
) -> DrillReport:
    """Drill a running system with a workload, which `file` declares to the load process, too."""
    async with following(system.global_store(), tell) as plans:
        people = await hire(system, tell)
        scene = Scene(system, app, workload, options, plans, people, tell)
        with TemporaryDirectory(prefix="proa-drill-") as folder:
            async with load_process(load_plan(scene, file, Path(folder)), {}) as load:
                course = await _under_load(scene, load)
                records = load.records()
                tell(LoadEnded(len(records), round(load.cpu_s * 1000 / max(1, len(records)), 3)))
        evidence = await _evidence(scene, course, records)
    objectives = app.objectives
    return account(Subject(app.name, app.topology, objectives, options.lose, options.how, options.seed), evidence)


def load_plan(scene: Scene, file: Path, folder: Path) -> LoadPlan:
    """The plan of the load process."""
    options, system = scene.options, scene.system
    return LoadPlan(
        workload=str(file),
        edge_url=system.edge_url,
        elsewhere={name: system.region_url(name) for name in scene.survivors},
        rate=options.rate,
        duration_s=LOAD_AT_MOST_S if options.fail_back else options.duration_s,
        seed=options.seed,
        records=str(folder / "records"),
    )


# While requests arrive.


async def _under_load(scene: Scene, load: LoadProcess) -> Course:
    scene.tell(Prepared(scene.app.name, tuple(scene.system.regions), scene.system.edge_url))
    started = await load.go()
    scene.tell(LoadStarted(scene.options.rate, scene.options.seed))
    telling = asyncio.create_task(_pass_on(load, scene.tell))
    try:
        await asyncio.sleep(started + scene.options.fault_after_s - time.time())
        course = await _lose(scene)
        await _recover(scene, course)
        if scene.options.fail_back:
            await _fail_back(scene, course)
            await load.stop()
        await telling
    finally:
        telling.cancel()
    return course


async def _pass_on(load: LoadProcess, tell: Progress) -> None:
    async for tick in load.ticks():
        tell(tick)


async def _lose(scene: Scene) -> Course:
    """Note the lag, take the region away, and note at once how far the disks of those that are left had got."""
    options = scene.options
    lag, earlier = await _lag(scene), scene.plans.over()
    fault_at = time.time()
    await inject(scene.system, fault(options.how, options.lose))
    held = await asyncio.to_thread(_held, scene)
    left = await _left(scene)
    scene.tell(FaultInjected(options.lose, options.how))
    return Course(fault_at, held, left, lag, earlier)


def _held(scene: Scene) -> Versions:
    """The furthest that any survivor's disk has each origin of the lost region."""
    furthest: Versions = {}
    for name in scene.survivors:
        for origin, seq in ledger.cursors(scene.system.data_dir(name)).items():
            if region_of(origin) == scene.options.lose:
                furthest[origin] = max(seq, furthest.get(origin, 0))
    return furthest


async def _left(scene: Scene) -> dict[Name, float]:
    """The messages that wait in the global store, and when each was sent."""
    return ledger.left(await scene.system.stored([OUTBOX])) if scene.app.queues else {}


async def _lag(scene: Scene) -> Lag:
    """The largest lag among the survivors."""
    found = [await region_status(scene.system, name) for name in scene.survivors]
    lags = [status.lag_ms for status in found if status]
    if not lags:
        return Lag()
    return Lag(max(lag.get("p50", 0.0) for lag in lags), max(lag.get("p99", 0.0) for lag in lags))


async def _recover(scene: Scene, course: Course) -> None:
    """Approve what waits for approval, and wait until the plan about the lost region is over."""
    options = scene.options
    if scene.fails_over and options.failover == "approval":
        try:
            where = somebody(scene.system.regions, options.lose)
            course.approved_at = await scene.people.approve(where, options.approve_after_s, RECOVER_WITHIN_S)
        except TimeoutError:
            course.broken.append(f"no plan waited for approval within {RECOVER_WITHIN_S:g} s of the fault")
            return

    def answers(plan: Plan) -> bool:
        return plan.lost == options.lose and plan.id not in course.earlier

    over = await scene.plans.until(lambda plan: answers(plan) and not plan.open, RECOVER_WITHIN_S)
    seen = over or scene.plans.find(answers)
    course.recovery = seen.id if seen else None
    if scene.fails_over and (over is None or over.step != "done"):
        course.broken.append(f"the fail-over from {options.lose} ended at {seen.step if seen else 'no plan'}")


async def _fail_back(scene: Scene, course: Course) -> None:
    """Give the region back under load, and make it active again."""
    options = scene.options
    await _give_back(scene, course)
    where = somebody(scene.system.regions, options.lose)
    course.until = time.time()
    try:
        plan = await scene.people.fail_back(where, FAIL_BACK_WITHIN_S)
        await scene.people.approve(where, options.approve_after_s, RECOVER_WITHIN_S)
    except TimeoutError as error:
        course.broken.append(str(error) or "the fail-back was not approved in time")
        return
    over = await scene.plans.until(lambda known: known.id == plan and not known.open, RECOVER_WITHIN_S)
    if over is None or over.step != "done":
        course.broken.append(f"the fail-back to {options.lose} did not finish")
    await asyncio.sleep(AFTER_FAIL_BACK_S)


async def _give_back(scene: Scene, course: Course) -> None:
    """End the fault and wait until the region is ready, has caught up and holds a role again."""
    options = scene.options
    await undo(scene.system, fault(options.how, options.lose))
    course.returned = True
    deadline = time.monotonic() + RETURN_WITHIN_S
    while time.monotonic() < deadline:
        if role := await _role_taken(scene.system, options.lose):
            scene.tell(RegionReturned(options.lose, role))
            return
        await asyncio.sleep(LOOK_EVERY_S)
    course.broken.append(f"{options.lose} did not come back within {RETURN_WITHIN_S:g} s")


async def _role_taken(system: System, name: str) -> str | None:
    """The role that a region was given and acts on: it is ready, has caught up, and knows the present epoch."""
    status = await region_status(system, name)
    (row,) = await system.global_store().read([(ROLES, ROLES_KEY)])
    assert row is not None
    assert row.value is not None
    assigned = msgspec.msgpack.decode(row.value, type=Assignment)
    role = assigned.roles.get(name)
    current = status is not None and status.ready and status.caught_up and status.epoch >= assigned.epoch
    return role if current and role in ("active", "standby") else None


async def region_status(system: System, name: str) -> RegionStatus | None:
    """What a region says of itself, or None while it does not answer."""
    client = HttpClient(system.region_url(name))
    try:
        answer = await client.send(Request("GET", "/_proa/status"), 1.0)
    finally:
        client.close()
    return msgspec.json.decode(answer.body, type=RegionStatus) if answer.ok else None


# Afterwards.


async def _evidence(scene: Scene, course: Course, records: list[Record]) -> Evidence:
    absent = await _read_back(scene, course, records)
    gone = None
    if not course.returned:
        await _give_back(scene, course)
        gone = await _still_gone(scene, frozenset[str]().union(*absent.values()))
    await _until_handled(scene)
    counts, broken = await _audit(scene)
    lost_disk = scene.system.data_dir(scene.options.lose)
    return Evidence(
        records=records,
        fault_at=course.fault_at,
        lease_s=scene.options.lease_s or scene.app.lease_s,
        approved_at=course.approved_at,
        until=course.until,
        slow_s=scene.options.slow_ms / 1000,
        absent=absent,
        gone=gone,
        commits=await asyncio.to_thread(ledger.commits, lost_disk),
        held_at_fault=course.held_at_fault,
        listed=await _listed(scene),
        row_counts=counts,
        doubled=await asyncio.to_thread(_doubled, scene),
        broken=[*course.broken, *broken],
        lag_ms=course.lag_ms,
        timeline=await _timeline(scene, course),
        handovers=scene.plans.handovers(),
        messages=await _messages(scene, course) if scene.app.queues else None,
    )


async def _read_back(scene: Scene, course: Course, records: list[Record]) -> dict[str, frozenset[str]]:
    """Ask every survivor for every acknowledged write; a region that has returned is asked as well."""
    paths = {answer.read for answers in acknowledged(records).values() for answer in answers}
    names = list(scene.system.regions) if course.returned else scene.survivors
    urls = {name: scene.system.region_url(name) for name in names}
    absent = await absent_everywhere(urls, paths, SETTLE_S, scene.workload.headers())
    for name in names:
        scene.tell(ReadBack(name, len(paths), len(absent[name])))
    return absent


async def _still_gone(scene: Scene, paths: frozenset[str]) -> frozenset[str]:
    """Of what survivors lacked, that which some region lacks also with the lost region's disk among them again."""
    if not paths:
        return paths
    everywhere = {name: scene.system.region_url(name) for name in scene.system.regions}
    return frozenset[str]().union(*(await absent_everywhere(everywhere, paths, SETTLE_S)).values())


async def _audit(scene: Scene) -> tuple[dict[str, int], list[str]]:
    """Count the rows on every disk, and in the global store."""
    system = scene.system
    strong = [name for name, table in scene.app.tables.items() if table.mode == "strong"]
    regions = [system.data_dir(name) for name in system.regions]
    return await asyncio.to_thread(ledger.audit, await system.stored(strong), regions, scene.workload, strong)


async def _until_handled(scene: Scene) -> None:
    """Give the handlers of duplicates and of messages time to deal with what this drill left to them."""
    deadline = time.monotonic() + HANDLED_WITHIN_S
    while time.monotonic() < deadline:
        found = [await region_status(scene.system, name) for name in scene.system.regions]
        waits = any(status is None or status.duplicates.get("waiting") or status.messages for status in found)
        if not waits and not await _left(scene):
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _doubled(scene: Scene) -> dict[str, Doubled]:
    handlers = {route.scope for route in scene.app.routes if route.on_duplicate}
    return ledger.doubled([scene.system.data_dir(name) for name in scene.system.regions], handlers)


async def _messages(scene: Scene, course: Course) -> MessageAccount:
    system = scene.system
    folders = [system.data_dir(name) for name in system.regions]
    unfetched, left = await system.stored([OUTBOX]), course.left_at_fault
    return await asyncio.to_thread(ledger.messages, unfetched, folders, left, scene.options.lose, course.fault_at)


async def _listed(scene: Scene) -> frozenset[str] | None:
    """The keys in the lost-write lists that the regions show; None where one of them does not answer."""
    try:
        lists = await asyncio.gather(*(scene.people.lost_writes(name) for name in scene.system.regions))
    except ProaError:
        return None
    return frozenset[str]().union(*lists)


async def _timeline(scene: Scene, course: Course) -> list[Phase]:
    if course.recovery is None:
        return []
    phases = await scene.plans.timeline(course.recovery)
    return [Phase(phase.phase, round(phase.at_s - course.fault_at, 3), phase.took_s) for phase in phases]
