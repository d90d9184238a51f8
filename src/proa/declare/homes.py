"""Which home a handler's write needs: asked by tables of mode `home` before they read or write for it.

The key decides, or the region that a field of the row names. Then the row as it is has the say: its home is not changed
by writing over it, since the old home could not know that it is none any more. A row that is not there yet belongs to
the region that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proa.core.home import Place
from proa.declare.context import current_unit
from proa.declare.tables import BaseTable
from proa.errors import HomeFixed, Unprocessable


async def claim(table: BaseTable[Any], regions: Sequence[str], key: str, row: Any) -> bool:
    """Claim the home of the row under `key` for the present unit; `row` is what is to be there, None to find it.

    Returns whether there was a home to claim: a row that is not there names none.

    Raises:
        Unprocessable: the row names a region that is none of `regions`.
        HomeFixed: the row that is there names another one.
    """
    unit, field = current_unit(), table.home
    if field is None:
        unit.claim(_place(table, key))
        return True
    named: str | None = None if row is None else getattr(row, field)
    if named is not None:
        if named not in regions:
            raise Unprocessable(f"{table.name}: {field} is {named!r}, which is none of {', '.join(regions)}")
        unit.claim(_place(table, key, named))
    old = await unit.get(table, key)
    if old is None:
        return named is not None
    present: str = getattr(table.decode(old), field)
    if named not in (None, present):
        raise HomeFixed(f"{table.name}: the row's home is {present}, and cannot become {named} by writing over it")
    unit.claim(_place(table, key, present))
    return True


def place_of(table: BaseTable[Any], key: str, data: bytes | None) -> Place:
    """The place of a row as a store holds it."""
    return _place(table, key, getattr(table.decode(data), table.home) if table.home and data is not None else "")


def _place(table: BaseTable[Any], key: str, named: str = "") -> Place:
    return Place(table.partition(key), named, table.residency.regions if table.residency else ())
