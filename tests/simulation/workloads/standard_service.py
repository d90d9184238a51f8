"""A standard app on one store that clients share: linearizable, or with one of several defects planted."""

import asyncio
from random import Random

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, Row
from proa.core.replicate.resolve import Committing
from proa.core.residency import holders, may_hold, readable, shared
from proa.declare.context import CURRENT
from proa.declare.http import Request
from proa.declare.residency import not_resident
from proa.errors import AnswerWithheld, HttpError, NotResident
from proa.runtime.answers import answer_of, problem
from proa.runtime.router import Router
from proa.simulation.client import Client, Habits, Reply
from proa.simulation.history import Final, StoreState
from proa.simulation.loop import run
from proa.simulation.workloads.catalogue import verdict

ORIGIN = "eu-west-1/1"
LATENCY_S = 0.05


class FakeUnit:
    """The handler's context, and what it read and wrote."""

    def __init__(self, unit, key, rows, region):
        self.unit = unit
        self._region = region
        self.idempotency_key = key
        self.reads = {}
        self.writes = {}
        self.met = set()
        self._rows = rows

    async def get(self, table, key, _level=None):
        return max((self._read((part, key)) or b"" for part in self._parts(table)), key=bool) or None

    def _read(self, address):
        if address in self.writes:
            return self.writes[address].value
        row = self._rows.get(address)
        self.reads[address] = row.seq if row else 0
        return row.value if row else None

    def _parts(self, table):
        parts = table.residency.held_in(self._region) if table.residency else table.parts
        self.met.update(parts)
        return parts

    async def standing(self, table, key):
        """There is one store, which every region's requests are run in: a row leaves whatever part it stands in."""
        self._parts(table)
        return [part for part in table.parts if self._read((part, key))]

    def now(self):
        return asyncio.get_running_loop().time()

    async def query(self, table, span, _level=None):
        now = self.now()
        parts = self._parts(table)
        held = {key: row for (part, key), row in (self._rows | self.writes).items() if part in parts and row.value}
        placed = [(table.position(span.index, key, row.value), key) for key, row in held.items() if row.alive(now)]
        found = sorted((position, key) for position, key in placed if position and span.start <= position < span.end)
        for _, key in found[: span.limit]:
            await self.get(table, key)
        return [(position, held[key].value) for position, key in found[: span.limit]], len(found) > span.limit

    def claim(self, place):
        """There is one region here: it is the home of every row."""

    def write(self, table, write):
        if write.value is not None and not may_hold(self._region, write.table):
            raise not_resident(table.name, self._region, holders(write.table))
        self.writes[write.table, write.key] = write


class Service:
    """`send` for clients. `defect` names what is wrong with it."""

    def __init__(self, app, defect="", seed=0):
        self.app = app
        self.defect = defect
        self.rows = {}
        self.commits = []
        self.seen_via = []
        self.history = []
        self._outcomes = {}
        self._router = Router(app.routes)
        self._rng = Random(f"service {seed}")
        self._old_rows = {}
        self._units = 0
        self._acknowledged = 0

    def client(self, number=0, **habits):
        return Client(
            f"client{number}",
            self.app.regions[number % 3],
            self.send,
            asyncio.get_running_loop().time,
            self.history,
            regions=self.app.regions,
            rng=Random(f"client {number}"),
            habits=Habits(**habits),
        )

    async def send(self, via, request):
        self.seen_via.append(via)
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        route, path = self._router.find(request.method, request.path)
        address = (route.scope, request.key)
        region = self.app.regions[0] if via == "edge" else via
        while True:
            if request.key and address in self._outcomes and self.defect != "forgets keys":
                outcome = self._outcomes[address]
                if not readable(outcome, region):
                    return self._reply(problem(AnswerWithheld(), ""), region)
                await asyncio.sleep(self._rng.random() * LATENCY_S)
                return self._reply(outcome, region)
            answer, unit = await self._handled(route, path, request, region)
            if answer.status >= 400:
                unit.writes.clear()
            if route.method != "GET":
                await asyncio.sleep(self._rng.random() * LATENCY_S)
                if self._changed(unit) or (request.key and address in self._outcomes and self.defect != "forgets keys"):
                    continue
                self._commit(address, answer, unit)
            await asyncio.sleep(self._rng.random() * LATENCY_S)
            return self._reply(answer, region)

    async def _handled(self, route, path, request, region):
        rows = self._old_rows if route.method == "GET" and self.defect == "reads the past" else self.rows
        self._units += 1
        unit = FakeUnit(f"{self._units:032x}", request.key, rows, region)
        arguments = route.arguments(Request(request.method, request.path, "", {}, request.body), path, unit)
        token = CURRENT.set(unit)
        try:
            return answer_of(await route.handler(**arguments), route.status), unit
        except (HttpError, NotResident) as error:
            return problem(error, unit.unit), unit
        finally:
            CURRENT.reset(token)

    def _changed(self, unit):
        if self.defect == "validates nothing":
            return False
        seqs = {address: self.rows[address].seq if address in self.rows else 0 for address in unit.reads}
        return seqs != unit.reads

    def _commit(self, address, answer, unit):
        seq = len(self.commits) + 1
        self._acknowledged += 1
        if self.defect == "loses commits" and self._acknowledged % 5 == 0:
            return
        held = shared(unit.met)
        outcome = None
        if address[1]:
            outcome = Outcome(
                *address, b"", answer.status, answer.headers, answer.body, unit.unit, "eu-west-1", 1e9, held
            )
            self._outcomes[address] = outcome
        writes = [self._committed(write, seq) for write in unit.writes.values()]
        self.commits.append(Commit(ORIGIN, seq, seq << 16, 0, {}, writes, [], outcome, unit.unit))
        if seq % 20 == 0:
            self._old_rows = dict(self.rows)
        for number, write in enumerate(writes):
            if (self.defect == "forgets commits" and seq % 5 == 0) or (self.defect == "commits halves" and number):
                continue
            row = Row(write.table, write.key, write.value, seq << 16, ORIGIN, seq, {ORIGIN: seq}, seq, write.expires_at)
            self.rows[write.table, write.key] = row

    def _committed(self, write, seq):
        policy = self.app.table_of(write.table).merge
        if not isinstance(policy, Committing):
            return write
        return msgspec.structs.replace(write, value=policy.committed(write.value, ORIGIN, seq, seq << 16))

    def _reply(self, answer, region):
        headers = {"proa-region": region, "content-type": "application/json"}
        return Reply(answer.status, headers, answer.body, asyncio.get_running_loop().time())

    def final(self):
        """The store as if all regions and the witness had it, each its own tables."""
        regions = {region: self._state(self._parts(region, strong=False)) for region in self.app.regions}
        return Final(regions, self._state(self._parts("", strong=True)))

    def _parts(self, region, *, strong):
        tables = [table for table in self.app.tables.values() if (table.mode == "strong") == strong]
        return {part: table for table in tables for part in table.parts if may_hold(region, part)}

    def _state(self, tables):
        rows = {address: row for address, row in self.rows.items() if address[0] in tables}
        decoded = {address: tables[address[0]].decode(row.value) for address, row in rows.items() if row.value}
        return StoreState(
            rows,
            decoded,
            cursors={ORIGIN: len(self.commits)},
            outcomes=self._outcomes,
            journal={(ORIGIN, commit.seq): only(commit, tables) for commit in self.commits},
            indexed=frozenset(
                (table, index, entry, key)
                for (table, key), row in rows.items()
                if row.value
                for index, entry in tables[table].schema.entries(key, row.value).items()
            ),
        )


def only(commit, tables):
    """A commit as the store of these tables has it."""
    return msgspec.structs.replace(commit, writes=[write for write in commit.writes if write.table in tables])


def violations(service, workloads, acts=40, **habits):
    """What the workloads find in a service after each acted `acts` times, through three clients at once."""

    async def session(client, workload, seed):
        rng = Random(f"{seed} {workload.name}")
        for _ in range(acts // 3):
            await asyncio.sleep(rng.random() * LATENCY_S)
            await workload.act(client, rng)

    async def main():
        clients = [service.client(number, **habits) for number in range(3)]
        for workload in workloads:
            await workload.setup(clients[0])
        await asyncio.gather(*(session(client, one, n) for n, client in enumerate(clients) for one in workloads))
        for workload in workloads:
            await workload.finish(clients[0], service.final())

    run(main())
    return verdict(service.app, workloads, service.history, service.final())
