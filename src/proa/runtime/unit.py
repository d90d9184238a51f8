"""The unit of work: what one invocation reads and writes, until it commits in exactly one store.

Reads are remembered with their versions, absence included; writes are buffered. The unit is also the handler's
`Context`. It decides nothing about retries or answers: `runtime.invoke` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row, Write
from proa.declare.handlers import Route
from proa.declare.tables import Table
from proa.errors import MixedUnit, ReadOnlyUnit, UnitMisclassified
from proa.ports import Batch, Clock, Entropy, GlobalStore, RegionStore

Store = Literal["regional", "global"]


class Frame(msgspec.Struct, frozen=True):
    """What a unit knows of the invocation around it. `deadline` is on the region's monotonic clock."""

    unit: str
    trace: str = ""
    key: str | None = None
    headers: Mapping[str, str] = {}
    deadline: float = float("inf")


class Unit:
    """One run of a handler. Created anew for each attempt, so that a re-run sees fresh reads.

    `fenced_rows` says whether it wrote rows that only the active region may write.
    """

    __slots__ = (
        "_clock",
        "_deadline",
        "_entropy",
        "_global",
        "_reads",
        "_regional",
        "_rows",
        "fenced_rows",
        "headers",
        "idempotency_key",
        "region",
        "route",
        "store",
        "trace",
        "unit",
        "writes",
    )

    def __init__(
        self,
        region: str,
        route: Route | None,
        stores: tuple[RegionStore, GlobalStore],
        clock: Clock,
        entropy: Entropy,
        frame: Frame,
    ) -> None:
        self.region = region
        self.route = route
        self._regional, self._global = stores
        self._clock = clock
        self._entropy = entropy
        self.unit = frame.unit
        self.trace = frame.trace
        self.idempotency_key = frame.key
        self.headers = frame.headers
        self._deadline = frame.deadline
        self._rows: dict[Key, Row | None] = {}
        self._reads: dict[Store, dict[Key, int]] = {}
        self.writes: dict[Key, Write] = {}
        self.store: Store | None = None
        self.fenced_rows = False

    # `declare.context.Context`.

    def now(self) -> float:
        return self._clock.now()

    def remaining_s(self) -> float:
        return max(0.0, self._deadline - self._clock.monotonic())

    def token(self) -> str:
        return self._entropy.token()

    # `declare.context.UnitOfWork`.

    async def get(self, table: Table[Any], key: str) -> bytes | None:
        address = (table.name, key)
        if (write := self.writes.get(address)) is not None:
            return write.value
        if address not in self._rows:
            await self._read(table, address)
        row = self._rows[address]
        return row.value if row is not None and row.alive(self._clock.now()) else None

    async def _read(self, table: Table[Any], address: Key) -> None:
        strong = table.mode == "strong"
        row = (await (self._global if strong else self._regional).read([address]))[0]
        if address not in self._rows:  # of two reads at once in one handler the first counts
            self._rows[address] = row
            self._reads.setdefault("global" if strong else "regional", {})[address] = row.version if row else 0

    def put(self, table: Table[Any], key: str, value: bytes) -> None:
        self._write(table, key, value)

    def delete(self, table: Table[Any], key: str) -> None:
        self._write(table, key, None)

    def _write(self, table: Table[Any], key: str, value: bytes | None) -> None:
        store: Store = "global" if table.mode == "strong" else "regional"
        if self.store != store:
            self._choose(store, table)
        if table.mode == "active" and self.route:
            self.fenced_rows = self.route.needs_role = True
        self.writes[table.name, key] = Write(table.name, key, value, table.mode)

    def _choose(self, store: Store, table: Table[Any]) -> None:
        """Settle on the store that this unit commits in, at its first write."""
        route = self.route
        if route is None or route.unit == "read":
            raise ReadOnlyUnit(f"{route.scope if route else 'a health check'} wrote {table.name}")
        if self.store is not None:
            raise MixedUnit(f"{route.scope} writes {table.name} ({table.mode}) besides the {self.store} store")
        if store != route.unit:
            raise UnitMisclassified(f"{route.scope} is classified {route.unit} but wrote {table.name} ({table.mode})")
        self.store = store

    # What the commit takes.

    def batch(self, store: Store, outcome: Outcome | None, epoch: int, *, keep_writes: bool) -> Batch:
        """What `store` is asked to commit; without its writes where only the outcome is to be recorded."""
        return Batch(
            id=self.unit,
            reads=self._reads.get(store, {}),
            writes=list(self.writes.values()) if keep_writes else [],
            outcome=outcome,
            dots=[row.dot for row in self._rows.values() if row is not None] if store == "regional" else [],
            epoch=epoch,
            trace="" if self.unit in self.trace else self.trace,
        )
