"""What people may ask of a region's tables, under `/_proa/control/tables`: its records, and settling lost writes.

Looking needs any operator's token, because rows are shown; whatever writes needs an operator, is audited, and may be
repeated.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proa.control.api import Call
from proa.control.settling import Settled, Settling
from proa.core.replicate.journal import Dot
from proa.core.replicate.records import ConflictsWanted
from proa.errors import NotFound, Unprocessable
from proa.runtime.holdings import holdings
from proa.runtime.records import Records
from proa.runtime.region import Region

LIMIT_MAX = 1000


class Wanted(msgspec.Struct, frozen=True):
    """Which lost write, and why it is settled. `force` writes it also over what was written since."""

    dot: str
    why: str = ""
    force: bool = False


class TablesApi:
    """Answers the calls about the tables of one region."""

    def __init__(self, region: Region, records: Records, settling: Settling) -> None:
        self._region = region
        self._records = records
        self._settling = settling

    async def __call__(self, call: Call) -> Any:
        match call.method, call.path[1:]:
            case "GET", ("conflicts",):
                return await self._conflicts(call.asked(ConflictsWanted))
            case "GET", ("residency",):
                return await holdings(self._region.app, self._region.name, self._region.store)
            case "GET", ("lost",):
                return await self._lost()
            case "GET", ("duplicates",):
                return {"duplicates": await self._records.duplicates()}
            case "POST", ("lost", "reapply"):
                return await self._reapply(call.need("operator").name, call.read(Wanted))
            case "POST", ("lost", "dismiss"):
                return await self._dismiss(call.need("operator").name, call.read(Wanted))
            case method, path:
                raise NotFound(f"the control API of tables has no {method} of {'/'.join(path)!r}")

    async def _conflicts(self, wanted: ConflictsWanted) -> dict[str, Any]:
        if not 1 <= wanted.limit <= LIMIT_MAX:
            raise Unprocessable(f"limit is {wanted.limit}; a page has 1 to {LIMIT_MAX} records")
        records = await self._records.conflicts(wanted)
        return {"conflicts": records, "dropped": self._region.store.conflicts_dropped()}

    async def _lost(self) -> dict[str, Any]:
        """The region's lost commits, each with what was decided of it."""
        assignment = self._region.authority.assignment
        lost = await self._records.lost(assignment.cuts if assignment else ())
        settled = await self._settling.every() if lost else {}
        return {"lost": [msgspec.to_builtins(one) | {"settled": settled.get(one.dot)} for one in lost]}

    async def _reapply(self, by: str, wanted: Wanted) -> Settled:
        parked = await self._records.aside(dot_of(wanted.dot))
        if parked is None:
            raise NotFound(f"{self._region.name} has no lost write {wanted.dot}")
        return await self._settling.reapply(parked, by, wanted.why, force=wanted.force)

    async def _dismiss(self, by: str, wanted: Wanted) -> Settled:
        if await self._records.aside(dot_of(wanted.dot)) is None:
            raise NotFound(f"{self._region.name} has no lost write {wanted.dot}")
        return await self._settling.dismiss(wanted.dot, by, wanted.why)


def dot_of(text: str) -> Dot:
    """Read `region/incarnation:sequence`."""
    origin, _, seq = text.rpartition(":")
    if not (origin and seq.isdecimal()):
        raise Unprocessable(f"{text!r} names no commit; one is written region/incarnation:sequence")
    return (origin, int(seq))
