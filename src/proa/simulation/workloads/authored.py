"""An author's own `drill.py`, in the simulated world: the same requests, and the same promises about them.

Every write that was acknowledged must be found in every region: as a row of a counted table under its key, or by the
workload's own `read_back`. A sample is read back in any case, since that a row is there does not show that a route
finds it. Only a write that the system itself lists as lost, or that a lost disk took within the declared RPO, may be
gone. No key may have two rows in a counted table, except for a pair of units that two regions made of one key each for
itself, and that the system lists; what such a pair's later unit had answered may be gone once the author's
`on_duplicate` dealt with it, as long as a row of the key is there. What `check` says of the rows of each region is the
author's own invariant.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import Any, Literal

import msgspec

from proa.app import App
from proa.chaos import workload
from proa.chaos.workload import Request
from proa.core.replicate.crdt import plain_fields
from proa.core.replicate.journal import Key
from proa.core.residency import table_of
from proa.runtime.router import Router
from proa.simulation.checkers import loss
from proa.simulation.checkers.evidence import listed_twice, parked
from proa.simulation.checkers.handled import handled_units
from proa.simulation.client import EDGE, Call, Client, Reply
from proa.simulation.history import Final, Operation, StoreState, Violation
from proa.simulation.workloads.workload import Workload, insist, own

NAME = "drill"
READ_BACK = "read back"
SAMPLE = 2
"""About how many acknowledged writes are read back although their rows were found."""
Values = list[dict[str, Any]]
Sight = Mapping[str, Values]
"""The tables that the author wants to see, as one region sees them."""


class Write(msgspec.Struct, frozen=True):
    """An acknowledged write, and the request that must find it."""

    operation: Operation
    read: Request
    mode: Literal["strong", "any"]


class Authored(Workload):
    """The adapter of one run."""

    def __init__(self, app: App, authors: workload.Workload) -> None:
        self._app = app
        self._authors = authors
        self._router = Router(app.routes)
        self._number = 0
        self._writes: list[Write] = []
        self._wrong: list[Violation] = []
        self._effective: set[str] = set()
        """The keys of which every region sees a row."""
        self._absent: dict[int, list[str]] = {}
        """The regions that did not find a write, by its operation's number."""

    @property
    def name(self) -> str:
        return NAME

    def surroundings(self) -> AbstractContextManager[None]:
        return self._authors.simulated()

    def documents(self) -> Mapping[str, bytes]:
        return self._authors.documents()

    async def setup(self, client: Client) -> None:
        async def send(request: Request) -> bytes:
            call = Call("set-up", request.method, request.path, None, request, EDGE, _body)
            return (await insist(client, call)).result

        await self._authors.setup(send)

    async def act(self, client: Client, rng: Random) -> None:
        number, self._number = self._number, self._number + 1
        request = self._authors.request(number, rng)
        done = await client.ask(Call(NAME, request.method, request.path, number, request, read=_body))
        if done.outcome == "ok" and (wrong := self._authors.examine(request, done.result)):
            self._wrong.append(Violation("author", wrong, (done.number,)))
        if done.outcome == "ok" and (read := self._authors.read_back(request, done.result)):
            route, _ = self._router.find(request.method, request.path.partition("?")[0])
            self._writes.append(Write(done, read, "strong" if route.unit == "global" else "any"))

    async def finish(self, client: Client, final: Final) -> None:
        """Read back what no counted row tells of, and a sample of the rest."""
        found = self._effective = self._counted_everywhere(final)
        shown = [write for write in self._writes if write.operation.idempotency_key in found]
        asked = [write for write in self._writes if write.operation.idempotency_key not in found]
        asked += shown[:: len(shown) // SAMPLE + 1]
        await asyncio.gather(*(self._read_back(client, write, region) for write in asked for region in client.regions))

    async def _read_back(self, client: Client, write: Write, region: str) -> None:
        number = write.operation.number
        call = Call(NAME, READ_BACK, write.read.path, number, write.read, region, _body)
        if (await client.ask(call)).outcome != "ok":
            self._absent.setdefault(number, []).append(region)

    # The verdict.

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:  # noqa: ARG002 - it kept its own
        sights = self._sights(final)
        broken = [
            Violation("author", f"{region}: {sentence}")
            for region, sight in sights.items()
            for sentence in workload.contradictions(self._authors, sight)
        ]
        return [*self._lost(final), *self._doubled(sights, final), *broken, *self._wrong]

    def collisions(self, history: Sequence[Operation]) -> int:
        """Attempts that repeated a key."""
        keys = [operation.idempotency_key for operation in own(history, NAME) if operation.idempotency_key]
        return len(keys) - len(set(keys))

    def _lost(self, final: Final) -> Iterator[Violation]:
        listed = {commit.outcome.key for commit in parked(final) if commit.outcome}
        listed |= self._taken_back(final) & self._effective
        for write in self._writes:
            absent = self._absent.get(write.operation.number, ())
            if len(absent) == len(final.regions) and write.operation.idempotency_key not in listed:
                yield from self._unaccounted(write, final)
            elif absent and len(absent) < len(final.regions):
                detail = f"{', '.join(absent)} does not find {write.read.path}, which other regions find"
                yield Violation("loss", detail, (write.operation.number,))

    def _unaccounted(self, write: Write, final: Final) -> list[Violation]:
        def row_of(_: Operation) -> Key:
            return (write.read.method, write.read.path)

        return loss.check([write.operation], final, write.mode, row_of=row_of, rpo_s=self._app.objectives.rpo_s)

    def _doubled(self, sights: Mapping[str, Sight], final: Final) -> Iterator[Violation]:
        listed = {key: len(units) - 1 for key, units in listed_twice(final).items()}
        for region, sight in sights.items():
            for key, rows in self._effects(sight).items():
                if rows > 1 + listed.get(key, 0):
                    yield Violation("effects", f"{region} has {rows} rows of the one request {key}")

    def _taken_back(self, final: Final) -> set[str]:
        """The keys of which one of two effects was handed to the author, who may have taken it away."""
        units = handled_units(final)
        pairs = (pair for state in final.regions.values() for pair in state.duplicates)
        return {other.key for _, other in pairs if other.unit in units}

    # The rows.

    def _sights(self, final: Final) -> dict[str, dict[str, Values]]:
        """What each region shows of the tables that count; of the `strong` ones all show the same."""
        tables = sorted({*self._authors.counted, *self._authors.kept})
        strong = [table for table in tables if self._app.tables[table].mode == "strong"]
        shared = {table: _rows(final.global_store, table) for table in strong}
        return {
            region: shared | {table: _rows(state, table) for table in tables if table not in shared}
            for region, state in final.regions.items()
        }

    def _counted_everywhere(self, final: Final) -> set[str]:
        """The keys of which every region sees a row."""
        return set[str].intersection(*(set(self._effects(sight)) for sight in self._sights(final).values()))

    def _effects(self, sight: Sight) -> Counter[str]:
        """How many rows each key made."""
        return Counter(row[field] for table, field in self._authors.counted.items() for row in sight[table])


def _rows(store: StoreState, table: str) -> Values:
    return [
        plain_fields(row.value)
        for (name, _), row in store.rows.items()
        if table_of(name) == table and row.value is not None
    ]


def _body(reply: Reply) -> bytes:
    return reply.body
