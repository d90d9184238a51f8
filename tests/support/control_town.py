"""A whole control plane on a manual clock: real members, views, controllers; a global store in memory, toy regions.

Nothing runs by itself. `town.run(seconds)` moves the clock in small steps and lets each living node do what is due, so
a pause, a blackout or a kill falls exactly where the test puts it.
"""

from __future__ import annotations

import asyncio

from proa.control.bootstrap import bootstrap
from proa.control.controller import Controller
from proa.control.desk import Desk
from proa.control.member import Life, Member
from proa.control.parts import parts
from proa.core.health import policy_for
from proa.core.replicate.journal import Row
from proa.core.replicate.stamp import Origin
from proa.core.roles import Observation
from proa.core.situation import Rules
from proa.core.time import stamp_of
from proa.errors import GlobalStoreUnreachable
from proa.observe.hub import Hub
from proa.ports import Changes, Committed, Conflict, HealthReport
from support.ends import SeededEntropy

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
WITNESS, EDGE = "witness", "edge"
STEP_S = 0.05
DETECT_S = 1.2


class ManualClock:
    """Time moves when the test says so; wall and monotonic time differ, as they do."""

    def __init__(self):
        self.at = 100.0

    def now(self):
        return 1_700_000_000.0 + self.at

    def monotonic(self):
        return self.at

    async def sleep(self, seconds):
        until = self.at + seconds
        while self.at < until:
            await asyncio.sleep(0)


class MemoryGlobalStore:
    """`ports.GlobalStore` in a dict, with the transaction rules of the real one."""

    def __init__(self, clock):
        self.clock = clock
        self.rows = {}
        self.revision = 0
        self.done = {}
        self.commits = []

    async def read(self, keys):
        return [self.rows.get(tuple(key)) for key in keys]

    async def scan(self, table):
        return sorted((row for (name, _), row in self.rows.items() if name == table), key=lambda row: row.key)

    async def commit(self, batch):
        if batch.id and batch.id in self.done:
            return self.done[batch.id]
        for key, version in batch.reads.items():
            row = self.rows.get(key)
            if (row.version if row else 0) != version:
                return Conflict(key)
        self.revision += 1
        stamp = stamp_of(self.clock.now()) + self.revision % 60000
        for write in batch.writes:
            self.rows[write.table, write.key] = Row(
                write.table, write.key, write.value, stamp, "global/1", self.revision, {}, self.revision
            )
        self.commits.append(batch)
        self.done[batch.id] = Committed(self.revision, self.clock.now())
        return self.done[batch.id]

    async def watch(self, prefix, after, _timeout_s, _waking=()):
        rows = [row for row in self.rows.values() if row.table.startswith(prefix) and row.version > after]
        return Changes(max((row.version for row in rows), default=after), rows, self.clock.now())


class StoreEnd:
    """The store as one node reaches it; `cut` says whether it does."""

    def __init__(self, store, cut):
        self._store = store
        self._cut = cut

    def __getattr__(self, name):
        async def call(*args):
            if self._cut():
                raise GlobalStoreUnreachable("cut off")
            return await getattr(self._store, name)(*args)

        return call


class ToyRegion:
    """`ports.RegionControl` over a count: a commit is a number, and replication copies the highest one."""

    def __init__(self, name, town):
        self.name = name
        self.town = town
        self.incarnation = 1
        self.whole_since = 0
        self.applied = {}
        self.is_ready = True
        self.rejoins = []
        self.forget()

    def forget(self):
        """A process that starts knows what is on its disk and nothing else."""
        self.limits = {}
        self.assignment = None
        self.lease_until = 0.0
        self.draining = False

    @property
    def origin(self):
        return str(Origin(self.name, self.incarnation))

    def cursors(self):
        return dict(self.applied)

    def health(self):
        return HealthReport("pass", (), self.is_ready)

    def may_write(self):
        """Whether an `active` write would be acknowledged at this moment."""
        granted = self.assignment is not None and self.assignment.may_write(self.name)
        return granted and not self.draining and self.town.clock.at < self.lease_until

    def write(self):
        """One `active` commit, if this region may."""
        if self.may_write():
            self.applied[self.origin] = self.applied.get(self.origin, 0) + 1
            self.town.acknowledged.append((self.assignment.epoch, self.name, self.town.clock.at))

    def assume(self, assignment, lease_until):
        if self.assignment is None or assignment.epoch > self.assignment.epoch:
            self.draining = False
        self.assignment = assignment
        self.lease_until = max(self.lease_until, lease_until)

    async def stop_before(self, _epoch):
        """Toy commits are durable at once."""

    async def drain(self, _epoch):
        self.draining = True
        return self.applied.get(self.origin, 0)

    def hold(self, origins):
        self.limits = {origin: self.limits.get(origin, self.applied.get(origin, 0)) for origin in origins}
        return dict(self.limits)

    async def catch_up(self, targets, _timeout_s):
        for origin in self.limits.keys() & targets.keys():
            self.limits[origin] = max(self.limits[origin], targets[origin])
        self.pull()
        return all(self.applied.get(origin, 0) >= seq for origin, seq in targets.items())

    def pull(self):
        for other in self.town.regions.values():
            if self.town.linked(self.name, other.name):
                for origin, seq in other.applied.items():
                    reach = min(seq, self.limits.get(origin, seq))
                    self.applied[origin] = max(self.applied.get(origin, 0), reach)

    async def rejoin(self, assignment):
        self.rejoins.append(assignment.epoch)
        cuts = [cut.seq for cut in assignment.cuts if cut.origin == self.origin]
        if cuts and self.applied.get(self.origin, 0) > min(cuts):
            self.applied[self.origin] = min(cuts)
            self.incarnation += 1
            self.whole_since = 1


class Town:
    """Regions, a witness and an edge, and what is broken among them."""

    def __init__(self, regions=(EU, US), topology="active-passive", seed=0, **rules):
        self.clock = ManualClock()
        self.store = MemoryGlobalStore(self.clock)
        lease_s = rules.pop("lease_s", 2.0)
        self.rules = Rules(
            regions, WITNESS, (EDGE,), topology, EU, lease_s=lease_s, health=policy_for(lease_s),
            **{"hold_down_s": 3.0, "rpo_s": 1.0} | rules,
        )  # fmt: skip
        self.dead, self.paused, self.cut, self.unwell = set(), set(), set(), set()
        self.dumb = set()
        self.freeze = None
        self.detected, self.wrong_since = {}, {}
        self.hub = Hub()
        self.events = []
        self.hub.subscribe(self.events.append)
        self.acknowledged = []
        self.seed = seed
        self.regions = {name: ToyRegion(name, self) for name in regions}
        self.edge_acts = (0, 0)
        self.members, self.views, self.controllers, self.due, self.desks = {}, {}, {}, {}, {}
        self.replicating = True
        self.split = []
        self.boots = 0
        self.watchers = []

    async def start(self):
        await bootstrap(self.store, self.rules, SeededEntropy(self.seed), EU)
        for name in (*self.rules.regions, WITNESS, EDGE):
            self.boot(name)
        for name in self.rules.regions:
            self.control(name)
        await self.run(2.0)
        return self

    def parts_of(self, name, key):
        store = StoreEnd(self.store, lambda: name in self.cut or WITNESS in self.dead | self.paused)
        return parts(store, self.rules, self.clock, SeededEntropy(f"{self.seed} {key}"), self.hub)

    def boot(self, name):
        self.boots += 1
        mine = self.parts_of(name, f"{name} {self.boots}")
        kind = "region" if name in self.regions else name
        self.dead.discard(name)
        if kind == "region":
            self.regions[name].forget()
        self.members[name] = Member(
            Life(name, kind, f"boot-{self.boots}", "1", "s"),
            mine,
            region=self.regions.get(name),
            seen=lambda: self.seen_by(name),
            acting=(lambda: self.edge_acts) if name == EDGE else None,
        )
        self.views[name] = mine.view
        mine.view.subscribe(self.members[name]._changed)
        self.due[name] = 0.0

    def control(self, name):
        """A controller with a view of its own, so that it can sleep while its region does not."""
        mine = self.parts_of(name, f"controller {name}")
        self.controllers[name] = (Controller(name, mine), mine.view)
        self.desks[name] = Desk(name, mine)

    # What is so.

    def linked(self, a, b):
        return not {a, b} & (self.dead | self.paused | self.cut) and {a, b} not in self.split

    def gone(self, name):
        return name in self.dead | self.paused | self.cut

    def seen_by(self, name):
        if name in self.cut:
            return {region: Observation(live=False) for region in self.rules.regions if region != name}
        return {region: self.detected.get(region, Observation(True, "pass")) for region in self.rules.regions}

    @property
    def situation(self):
        return self.views[WITNESS].situation

    @property
    def assignment(self):
        return self.situation.assignment

    @property
    def plan(self):
        return self.situation.plan

    # What happens.

    async def run(self, seconds, until=lambda: False):
        """Let time pass; whether `until` came true."""
        for _ in range(round(seconds / STEP_S)):
            if until():
                return True
            self.clock.at += STEP_S
            await self.tick()
        return until()

    async def tick(self):
        self._detect()
        for region in self.regions.values():
            if not self.gone(region.name) or (region.name in self.cut and region.name not in self.dead | self.paused):
                region.write()
        if self.replicating:
            for region in self.regions.values():
                region.pull()
        for name, member in self.members.items():
            if name not in self.dead | self.paused:
                await self._node(name, member)
        for name, (controller, view) in list(self.controllers.items()):
            if name not in self.dead | self.paused | self.dumb:
                await self._safely(view.poll(0))
                if view.situation.plan and self.freeze == (name, view.situation.plan.step):
                    self.dumb.add(name)
                    continue
                await self._safely(controller.step())
        for watcher in self.watchers:
            watcher()

    async def _node(self, name, member):
        task = asyncio.ensure_future(self.views[name].poll(0))
        await self._settle(task)
        if name == EDGE and self.assignment and EDGE not in self.cut:
            self.edge_acts = max(self.edge_acts, (self.assignment.epoch, self.assignment.revision))
        if self.clock.at >= self.due[name] or member._wake._rung:
            member._wake._rung = False
            self.due[name] = self.clock.at + self.rules.beat_s
            await member.beat()
            for _ in range(3):
                await asyncio.sleep(0)

    async def _settle(self, task):
        for _ in range(5):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()

    async def _safely(self, work):
        task = asyncio.ensure_future(work)
        for _ in range(12):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif task.exception() and not isinstance(task.exception(), GlobalStoreUnreachable):
            raise task.exception()

    def _detect(self):
        """Observers agree on what is wrong 1.2 s after it began, and publish it at once."""
        for name in self.rules.regions:
            bad = Observation(live=False) if self.gone(name) else None
            bad = bad or (Observation(True, "fail", ("db",)) if name in self.unwell else None)
            if bad is None:
                self.detected.pop(name, None)
                self.wrong_since.pop(name, None)
                continue
            since = self.wrong_since.setdefault(name, self.clock.at)
            if self.clock.at - since >= DETECT_S and self.detected.get(name) != bad:
                self.detected[name] = bad
                for member in self.members.values():
                    member.poke()

    def kill(self, name):
        self.dead.add(name)
