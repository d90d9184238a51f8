"""A unit's view of tables that only some regions may hold: the parts that its region may hold, as one table.

A row stands in one part. Where regions moved it from one set of regions to another, or made it in two, at once, it may
stand in two for a while: the one written last is shown, and the next write leaves the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from msgspec.structs import replace

from proa.core import residency
from proa.core.replicate.journal import Key, Row, Write
from proa.core.replicate.stamp import Origin
from proa.declare.levels import Level
from proa.declare.residency import not_resident
from proa.declare.tables import BaseTable
from proa.ports import Position, Span
from proa.runtime.unit import Unit, placed

Found = Mapping[str, tuple[str, bytes]]
"""The part and the bytes of rows, by key."""


class Resident:
    """The parts that one unit has met, and rows as they stand in them."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._met: set[str] = set()

    async def get_many(
        self, table: BaseTable[Any], keys: Sequence[str], level: Level | None = None
    ) -> list[bytes | None]:
        """Several rows. The answer of a unit that found nothing still tells of every part that it looked in."""
        parts = await self._look(table, keys, level)
        found = [self._newest({(part, key): self._unit.known((part, key)) for part in parts}) for key in keys]
        self._met.update(part for one in found for part, _ in one.values() or [(part, b"") for part in parts])
        return [one[key][1] if key in one else None for key, one in zip(keys, found, strict=True)]

    async def standing(self, table: BaseTable[Any], key: str) -> list[str]:
        """The parts in which a row stands under `key`."""
        parts, now = await self._look(table, [key], None), self._unit.now()
        return [part for part in parts if (row := self._unit.known((part, key))) and row.alive(now)]

    async def _look(self, table: BaseTable[Any], keys: Sequence[str], level: Level | None) -> tuple[str, ...]:
        parts = self._parts(table)
        await self._unit.fetch(table, [(part, key) for key in keys for part in parts], level)
        return parts

    def _parts(self, table: BaseTable[Any]) -> tuple[str, ...]:
        assert table.residency
        return table.residency.held_in(self._unit.region)

    async def query(
        self, table: BaseTable[Any], span: Span, level: Level | None = None
    ) -> tuple[list[tuple[Position, bytes]], bool]:
        """Rows of a span in every part, as `Unit.query` has them of one."""
        parts = self._parts(table)
        own = {address: write for address, write in self._unit.writes.items() if address[0] in parts}
        asked = replace(span, limit=span.limit + len(own) + 1, now=self._unit.now())
        store = self._unit.source(table, level)
        rows = {(part, row.key): row for part in parts for row in await store.query(replace(asked, table=part))}
        seen = self._newest({**rows, **own})
        values = {key: value for key, (_, value) in seen.items()}
        found = sorted(placed(table, span, values), reverse=span.reverse)
        page = found[: span.limit]
        met = [(seen[key][0], key) for (_, key), _ in page]
        for address in met:
            if address not in own:
                self._unit.remember(table, address, rows[address], level)
        self._met.update([part for part, _ in met] or parts)
        return page, len(found) > span.limit

    def _newest(self, rows: Mapping[Key, Row | Write | None]) -> Found:
        """The living ones of some rows, one for each key: the unit's own write, else the one written last."""
        now = self._unit.now()
        living = [(key, part, row) for (part, key), row in rows.items() if row is not None and row.alive(now)]
        living.sort(key=lambda one: _rank(one[2]))
        return {key: (part, row.value or b"") for key, part, row in living}

    def admit(self, table: BaseTable[Any], part: str) -> None:
        """Note that the unit writes to a part.

        Raises:
            NotResident: its region may not hold that.
        """
        if not residency.may_hold(self._unit.region, part):
            raise not_resident(table.name, self._unit.region, residency.holders(part))
        self._met.add(part)

    def holders(self) -> tuple[str, ...]:
        """The regions that may hold everything that the unit has read and written."""
        return residency.shared(self._met)


def _rank(row: Row | Write) -> tuple[float, Origin]:
    return (row.stamp, Origin.parse(row.origin)) if isinstance(row, Row) else (inf, Origin("", 0))
