"""Where the rows of a table may be held: all in the same regions, or each by one of its fields.

A table with a residency is kept in parts, one for each set of regions (see `core.residency`). A unit sees the parts
that its region may hold as one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from proa.core import residency
from proa.errors import DeclarationError, NotResident, Unprocessable


class By(msgspec.Struct, frozen=True):
    """Rows are held where one of their fields says. See `by`."""

    field: str
    sets: Mapping[str, Sequence[str]]
    otherwise: Sequence[str] | None = None


def by(field: str, sets: Mapping[str, Sequence[str]], *, otherwise: Sequence[str] | None = None) -> By:
    """Rows are held in the regions that `sets` names for the value of a text field, else in those of `otherwise`.

    Without `otherwise`, a row with another value is refused (Unprocessable).
    """
    return By(field, sets, otherwise)


Declared = Sequence[str] | By


class Residency:
    """The parts of one table, and the part of each row.

    `field` is the one that decides (empty where all rows are alike), `sets` the part of each of its values.
    """

    def __init__(self, table: str, declared: Declared) -> None:
        rule = declared if isinstance(declared, By) else By("", {}, declared)
        self._table = table
        self.field = rule.field
        self.sets = {value: self._part(regions) for value, regions in rule.sets.items()}
        self._otherwise = None if rule.otherwise is None else self._part(rule.otherwise)
        found = {*self.sets.values(), self._otherwise}
        self.parts: tuple[str, ...] = tuple(sorted(part for part in found if part))
        if not self.parts:
            raise DeclarationError(f"table {table}: a residency names at least one set of regions")

    def _part(self, regions: Sequence[str]) -> str:
        if isinstance(regions, str) or not regions:
            raise DeclarationError(f"table {self._table}: a residency is a list of one region or more, not {regions!r}")
        if odd := [region for region in regions if residency.JOINT in region]:
            raise DeclarationError(f"table {self._table}: residency cannot name {odd[0]!r}, for its {residency.JOINT}")
        return residency.part(self._table, regions)

    def of(self, row: Any) -> str:
        """The part that a row belongs to; Unprocessable where the declaration does not say."""
        part = self.sets.get(getattr(row, self.field), self._otherwise) if self.field else self._otherwise
        if part is None:
            raise Unprocessable(f"{self._table}: no regions are declared for this value of {self.field}")
        return part

    def held_in(self, region: str) -> tuple[str, ...]:
        """The parts that a region may hold.

        Raises:
            NotResident: there are none.
        """
        parts = tuple(part for part in self.parts if residency.may_hold(region, part))
        if not parts:
            raise not_resident(self._table, region, self.regions)
        return parts

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region that may hold some of the rows."""
        return tuple(sorted({region for part in self.parts for region in residency.holders(part)}))

    def verify(self, regions: Sequence[str], witness: str | None, *, strong: bool) -> None:
        """Refuse what cannot be kept: regions that the app does not have, and a global store that is elsewhere."""
        if unknown := sorted(set(self.regions) - set(regions)):
            raise DeclarationError(
                f"table {self._table}: residency names {', '.join(unknown)}; the app has {', '.join(regions)}"
            )
        if strong and any(witness not in residency.holders(part) for part in self.parts):
            raise DeclarationError(
                f"table {self._table}: `strong` rows are in the global store, which is in no region of the residency; "
                "name its place with App(witness=...) if it is in all of them, or choose another mode"
            )


def not_resident(table: str, region: str, regions: Sequence[str]) -> NotResident:
    """The refusal, which names where to go."""
    named = ", ".join(regions)
    return NotResident(f"{region} may not hold this row of {table}; {named} may", headers={"proa-regions": named})
