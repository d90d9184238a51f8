"""Writing a lost commit's rows again, as a new unit of the present epoch in this region.

The commit is the unit's only one and carries a key of its own, so that a repeated call writes nothing a second time. It
rests on the versions of the rows as they were judged: whoever writes one of them meanwhile is not overrun.
"""

from __future__ import annotations

from collections.abc import Sequence

from proa.core.dedupe import Outcome
from proa.core.home import Place
from proa.core.replicate.journal import Commit, Row, Write
from proa.core.replicate.lost import again
from proa.core.replicate.records import Parked
from proa.core.residency import resident, table_of
from proa.declare.homes import place_of
from proa.errors import Contended, NotActive, NotHome, NotResident, OutcomeUnknown, SettlingRefused, of_code
from proa.ports import Batch, Clock, Committed, Fenced, Found, RegionStore
from proa.runtime.records import Records, named, shown
from proa.runtime.region import Region

SCOPE = "~reapply"
KEPT_S = 30 * 86_400.0
RACES_MAX = 8


class Reapply:
    """Reapplies parked commits in one region."""

    def __init__(self, region: Region, records: Records, clock: Clock) -> None:
        self._region = region.name
        self._store: RegionStore = region.store
        self._records = records
        self._merges = region.app.merges()
        self._tables = region.app.tables
        self._authority = region.authority
        self._clock = clock
        self._unit_id = region.invoker.unit_id

    async def check(self, parked: Parked, *, force: bool) -> None:
        """Whether this region may write the rows now, and nothing that stands is in the way.

        Raises:
            NotActive: the rows are those of the active region, and this one is not.
            NotHome: another region acts as their home.
            NotResident: this region may not hold all of them.
            SettlingRefused: a row was written since; `force` writes it all the same.
        """
        self._require_role(parked)
        await self._judge(parked, await self._records.standing(parked.commit), force=force)

    async def __call__(self, parked: Parked, *, force: bool) -> str:
        """Write the rows again; the unit that did, now or at an earlier call.

        Raises:
            SettlingRefused, NotActive: as `check` does.
            OutcomeUnknown: the rows are written, but the right to write `active` rows ended meanwhile.
        """
        for _ in range(RACES_MAX):
            if done := await self._store.outcome(SCOPE, named(parked.commit)):
                return done.unit
            standing = await self._records.standing(parked.commit)
            await self._judge(parked, standing, force=force)
            batch = self._batch(parked, standing)
            match await self._store.commit(batch):
                case Committed():
                    return self._acknowledged(parked, batch)
                case Found(outcome):
                    return outcome.unit
                case Fenced(code, detail):
                    raise of_code(code, detail)
                case _:
                    continue
        raise Contended(f"the rows of {named(parked.commit)} keep changing")

    async def _judge(self, parked: Parked, standing: Sequence[Row | None], *, force: bool) -> None:
        fates = await self._records.fates(parked, standing)
        written = [write for write, fate in zip(parked.commit.writes, fates, strict=True) if fate == "superseded"]
        if written and not force:
            rows = ", ".join(f"{table_of(write.table)} {_shown(write)}".rstrip() for write in written)
            raise SettlingRefused(f"{named(parked.commit)} wrote {rows}, written since by a commit that stands")

    def _batch(self, parked: Parked, standing: Sequence[Row | None]) -> Batch:
        commit, unit = parked.commit, self._unit_id()
        pairs = list(zip(commit.writes, standing, strict=True))
        return Batch(
            unit,
            {(write.table, write.key): row.version if row else 0 for write, row in pairs},
            [again(self._merges.get(write.table), commit, write, row) for write, row in pairs],
            Outcome(SCOPE, named(commit), b"", 200, [], b"", unit, self._region, self._clock.now() + KEPT_S),
            epoch=self._authority.epoch,
            places=self._places(commit),
        )

    def _places(self, commit: Commit) -> tuple[Place, ...]:
        """Whose homes this region must be to write the rows."""
        homes = [write for write in commit.writes if write.mode == "home"]
        return tuple(place_of(self._tables[table_of(write.table)], write.key, write.value) for write in homes)

    def _is_work(self, write: Write) -> bool:
        """Whether a row of Proa's own says that something is dealt with."""
        return write.mode == "home" and table_of(write.table) not in self._tables

    def _nameless(self, write: Write) -> bool:
        """Whether nothing tells the home of the row: it named one, and is deleted."""
        return write.value is None and self._tables[table_of(write.table)].home is not None

    def _require_role(self, parked: Parked) -> None:
        if parked.commit.withheld:
            raise NotResident(f"{self._region} may not hold all rows of {named(parked.commit)}; ask a region that may")
        if parked.commit.fenced_rows and not self._authority.may_write_active():
            raise NotActive(f"{self._region} is {self._authority.role} in epoch {self._authority.epoch}")
        if any(map(self._is_work, parked.commit.writes)):
            raise SettlingRefused(
                f"{named(parked.commit)} dealt with a message, a change or a doubled key; that is done again by itself"
            )
        if any(self._nameless(write) for write in parked.commit.writes):
            raise SettlingRefused(f"{named(parked.commit)} deleted a row that named its home; delete it by a request")
        for place in self._places(parked.commit):
            if not self._authority.may_write_home(place):
                home = self._authority.home_of(place)
                raise NotHome(f"{self._region} is not the home of the rows of {named(parked.commit)}; {home} is")

    def _acknowledged(self, parked: Parked, batch: Batch) -> str:
        if parked.commit.fenced_rows and not self._authority.may_acknowledge(batch.epoch, batch.places):
            raise OutcomeUnknown(f"{self._region} lost its right to write while {named(parked.commit)} was reapplied")
        return batch.id


def _shown(write: Write) -> str:
    """A row's key as an error may name it: not at all where only some regions may hold it."""
    return "" if resident(write.table) else shown(write.key)
