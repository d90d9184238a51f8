"""Where a stream stands with an origin, and how it reads what the journal has no longer.

What dropped entries made is in the base. So a stream that begins at the beginning first walks over those rows of the
base that the origin wrote, and then reads the journal from the floor. A walk is over one region's base at one floor of
the origin. Another region's base, or the same one at another floor, is of another moment: going on there could leave
something out, so the walk begins again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proa.core.replicate.journal import Row
from proa.core.replicate.resolve import dots_of
from proa.core.replicate.snapshot import ROWS, Page
from proa.core.residency import table_of
from proa.ports import RegionStore

PAGE_BYTES = 64 * 1024
_decode_row = msgspec.msgpack.Decoder(Row).decode


class Walk(msgspec.Struct, frozen=True, array_like=True):
    """A walk over the base of `region`, at this floor of the origin: done up to the row `key` of the part `table`."""

    region: str
    floor: int
    table: str = ""
    key: str = ""

    @property
    def shown(self) -> str:
        """The last row, as people read it."""
        return f"{table_of(self.table)}/{self.key}"


Position = int | Walk
"""The last sequence of the origin that a stream is done with, or how far it is in the base."""
decode_position = msgspec.msgpack.Decoder(Position).decode


def seq_of(position: Position) -> int:
    """Past which sequence the journal must be kept."""
    return position.floor if isinstance(position, Walk) else position


def beginning(region: str, floor: int) -> Position:
    """The beginning of an origin, in a region whose base has it up to a floor."""
    return Walk(region, floor) if floor else 0


async def walked(
    store: RegionStore, origin: str, walk: Walk, parts: Sequence[str], limit: int
) -> tuple[Position, list[Row]] | None:
    """The next rows that the origin wrote, at most `limit`, and how far that goes; deleted ones are left out.

    None where the base is not any more that over which the walk began.
    """
    table, following = _tables(walk, sorted(parts))
    page = await store.snapshot((ROWS, table, walk.key if walk.table else ""), PAGE_BYTES)
    if origin not in page.floors or page.floors[origin].seq != walk.floor:
        return None
    found: list[Row] = []
    for row in _rows(page, table):
        if row.value is not None and any(dot[0] == origin for dot in dots_of(row)):
            found.append(row)
        walk = Walk(walk.region, walk.floor, table, row.key)
        if len(found) == limit:
            return walk, found
    if _within(page, table):
        return walk, found
    return (Walk(walk.region, walk.floor, following) if following else walk.floor), found


def _tables(walk: Walk, parts: Sequence[str]) -> tuple[str, str]:
    """The part of the table at which the walk is, and the one after it."""
    table = walk.table or parts[0]
    return table, next((part for part in parts if part > table), "")


def _rows(page: Page, table: str) -> list[Row]:
    return [_decode_row(item.content) for item in page.items if item.section == ROWS and item.first == table]


def _within(page: Page, table: str) -> bool:
    """Whether the part may go on behind the page."""
    return not page.done and bool(page.items) and page.items[-1].place[:2] == (ROWS, table)
