"""What people may ask of a region's tables, under `/_proa/control/tables`: its records, and settling lost writes.

Looking needs any operator's token, because rows are shown; whatever writes needs an operator, is audited, and may be
repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from proa.control.api import Call
from proa.control.noting import Noting
from proa.control.settling import Settled, Settling
from proa.core.replicate.journal import Dot
from proa.core.replicate.records import ConflictsWanted
from proa.errors import NotFound, Unprocessable
from proa.runtime.holdings import holdings
from proa.runtime.records import Records, damaged
from proa.runtime.region import Region

if TYPE_CHECKING:
    from proa.runtime.streams import Streams

LIMIT_MAX = 1000


class Wanted(msgspec.Struct, frozen=True):
    """Which lost write, and why it is settled. `force` writes it also over what was written since."""

    dot: str
    why: str = ""
    force: bool = False


class Anew(msgspec.Struct, frozen=True):
    """Which stream tells everything again, and why."""

    stream: str
    why: str = ""


class Skip(msgspec.Struct, frozen=True):
    """Which stream passes over what it fails on, with which origin and after what, as its status says; and why."""

    stream: str
    origin: str
    position: int
    walking: str = ""
    why: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """Which part of a table is compared with which peer, from which key on, and whether what differs is mended."""

    table: str
    peer: str
    start: str = ""
    mend: bool = False


class TablesApi:
    """Answers the calls about the tables of one region."""

    def __init__(self, region: Region, records: Records, settling: Settling, note: Noting) -> None:
        self._region = region
        self._records = records
        self._settling = settling
        self._note = note

    async def __call__(self, call: Call) -> Any:
        path = call.path[1:]
        answer = {"GET": self._tell, "POST": self._act}.get(call.method)
        if answer is None:
            raise NotFound(f"the control API of tables has no {call.method} of {'/'.join(path)!r}")
        return await answer(call, path)

    async def _tell(self, call: Call, path: tuple[str, ...]) -> Any:
        match path:
            case ("conflicts",):
                return await self._conflicts(call.asked(ConflictsWanted))
            case ("residency",):
                return await holdings(self._region.app, self._region.name, self._region.store)
            case ("lost",):
                return await self._lost()
            case ("streams",):
                return {"streams": self._region.streams.status() if self._region.streams else []}
            case ("duplicates",):
                return {"duplicates": await self._records.duplicates()}
            case _:
                raise NotFound(f"the control API of tables has no {'/'.join(path)!r}")

    async def _act(self, call: Call, path: tuple[str, ...]) -> Any:
        match path:
            case ("compare",):
                return await self._compare(call)
            case ("streams", "rebuild"):
                return await self._rebuild(call.need("operator").name, call.read(Anew))
            case ("streams", "skip"):
                return await self._skip(call.need("operator").name, call.read(Skip))
            case ("lost", "reapply"):
                return await self._reapply(call.need("operator").name, call.read(Wanted))
            case ("lost", "dismiss"):
                return await self._dismiss(call.need("operator").name, call.read(Wanted))
            case _:
                raise NotFound(f"the control API of tables has no {'/'.join(path)!r} to post to")

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
        told = [msgspec.to_builtins(one) | {"settled": settled.get(one.dot)} for one in lost]
        return {"lost": told, "damaged": await damaged(self._region.store)}

    async def _compare(self, call: Call) -> dict[str, Any]:
        """Compare the next rows of a part of a table with a peer's; whoever mends needs to be an operator."""
        asked = call.read(Comparison)
        if asked.mend:
            call.need("operator")
        region = self._region
        if asked.table not in region.app.kept() or asked.peer not in region.app.regions:
            raise Unprocessable(f"there is no table {asked.table!r} to compare, or no region {asked.peer!r}")
        part = await region.repairer.compare(asked.peer, asked.table, asked.start, mend=asked.mend)
        found = [self._records.difference(one) for one in part.found]
        return {"rows": part.rows, "exchanged": part.exchanged, "next": part.next, "found": found}

    async def _rebuild(self, by: str, asked: Anew) -> dict[str, Any]:
        streams = self._streams(asked.stream)
        await self._note(by, "stream to be rebuilt", {"stream": asked.stream, "why": asked.why})
        return {"regions": await streams.rebuild(asked.stream)}

    async def _skip(self, by: str, asked: Skip) -> dict[str, Any]:
        streams = self._streams(asked.stream)
        after = f"{asked.origin}:{asked.position} {asked.walking}".rstrip()
        detail = {"stream": asked.stream, "after": after, "why": asked.why}
        await self._note(by, "change of a stream to be skipped", detail)
        return {"skipped": await streams.skip(asked.stream, asked.origin, asked.position, asked.walking)}

    def _streams(self, name: str) -> Streams:
        """The region's streams, of which one is called so."""
        streams = self._region.streams
        if streams is None:
            raise NotFound(f"there is no stream {name!r}; the app declares none")
        streams.named(name)
        return streams

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
