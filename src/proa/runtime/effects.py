"""Effects in a region: a claim is made durable, the author's function is called, what came of it is recorded.

The claim is a row of the store that the unit commits in, under the unit's place if it has one: so of two regions that
may run the unit one after the other the second finds what the first wrote. Whatever is written over a claim is written
over the version that names its owner: an attempt that was overtaken changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from proa.core.effect import EFFECTS, PARKED, Claim, decide, key_of
from proa.core.home import Place
from proa.core.queue import SAID_MAX, said_of
from proa.core.replicate.journal import Row, Write
from proa.declare.context import CURRENT, NoUnitHere
from proa.declare.effects import RESULT_BYTES_MAX, Effect
from proa.declare.tables import BaseTable
from proa.errors import (
    DeclarationError,
    EffectChanged,
    EffectInFlight,
    EffectUnknown,
    NotDone,
    OutcomeUnknown,
    ReadOnlyUnit,
    of_code,
)
from proa.ports import Batch, Committed, Fenced, GlobalStore, RegionStore, Result
from proa.runtime.errands import RACES_MAX, Ends, raise_fenced
from proa.runtime.events import EffectDone, EffectOvertaken, EffectParked

if TYPE_CHECKING:
    from proa.runtime.invoke import Confirming
    from proa.runtime.unit import Unit

KEPT_S = 30 * 24 * 3600.0
"""How long a result is kept; nobody repeats a unit that was left for longer."""
BACKOFF_S = 0.005
NAMELESS = ("BATCH", "STREAM")
"""Methods of units of which a later attempt may be made up otherwise, so that its effects have no name that stays."""
Call = Callable[[str], Awaitable[bytes]]
decode_claim = msgspec.msgpack.Decoder(Claim).decode
_encode = msgspec.msgpack.Encoder().encode
_INSIDE: Any = NoUnitHere("an effect is outside of the unit that calls it: read and write tables before or after it")


class Desk:
    """Where the claims of one unit are kept: in its region's store, under its place, or in the global store."""

    def __init__(self, ends: Ends, store: RegionStore | GlobalStore, place: Place | None, *, globally: bool) -> None:
        self._ends = ends
        self._store = store
        self.place = place
        self.globally = globally
        self._epoch = ends.authority.epoch

    async def read(self, key: str) -> tuple[Claim | None, int]:
        """The claim under a key, and the version of its row."""
        (row,) = await self._store.read([(EFFECTS, key)])
        return claim_of(row, self._ends.clock.now()), row.version if row else 0

    async def write(self, key: str, version: int, claim: Claim | None) -> Result:
        """Put a claim (None: none) over the version that was read. One that waits for a person is listed, too."""
        return await self.commit({(EFFECTS, key): version}, self._writes(key, claim))

    def _writes(self, key: str, claim: Claim | None) -> list[Write]:
        mode = "strong" if self.globally else "home" if self.place else "any"
        value = None if claim is None else _encode(claim)
        parked = claim is not None and claim.state == "unknown"
        ends_at = None if parked or claim is None else claim.at + KEPT_S
        listed = Write(PARKED, key, value if parked else None, mode)
        return [Write(EFFECTS, key, value, mode, ends_at), *([] if claim and claim.state == "begun" else [listed])]

    async def commit(self, reads: dict[tuple[str, str], int], writes: Sequence[Write]) -> Result:
        batch = Batch(self._ends.unit_id(), reads, list(writes), places=(self.place,) if self.place else ())
        batch.epoch = self._epoch
        return await (self._ends.commit_globally(batch) if self.globally else self._ends.store.commit(batch))


class Effects:
    """The effects that units of a region call. `confirmations` are there where one acknowledges by peer."""

    def __init__(self, ends: Ends, globally: GlobalStore, tables: dict[str, BaseTable[Any]]) -> None:
        self.ends = ends
        self.globally = globally
        self._tables = tables
        self.confirmations: Confirming | None = None
        self._at_work: set[str] = set()
        self._never_called: set[str] = set()
        """Owners whose claim may be durable although they gave up before they called."""

    async def call(self, unit: Unit, effect: Effect[Any, Any], arguments: bytes, call: Call) -> bytes:
        """The result of an effect, which is called unless an attempt at the same unit did."""
        desk = self._desk(unit, effect)
        work, ordinal = unit.work, unit.next_call(effect.name)
        key = key_of(effect.name, work, ordinal)
        for race in range(RACES_MAX):
            await self.ends.back_off(race, BACKOFF_S)
            claim, version = await desk.read(key)
            verdict = self._verdict(claim, effect, arguments)
            if verdict == "recorded" and claim:
                return claim.result
            if verdict not in ("call", "again"):
                await self._refuse(desk, key, claim, version, verdict)
            due_by = self.ends.clock.monotonic() + effect.claim_s
            mine = self._mine(unit, effect, arguments, (work, ordinal), claim, desk)
            self._at_work.add(mine.owner)
            try:
                if await self._claimed(desk, key, version, mine, effect, unit):
                    self._still(mine, due_by)
                    return await self._called(desk, key, mine, effect, call)
            finally:
                self._at_work.discard(mine.owner)
        raise EffectInFlight(f"{effect.name} ({key}) changed hands {RACES_MAX} times", headers={"retry-after": "1"})

    def _desk(self, unit: Unit, effect: Effect[Any, Any]) -> Desk:
        """Where the unit's claims are kept; a unit at a row's home makes sure first that it is there."""
        if unit.route is None or unit.route.unit == "read":
            raise ReadOnlyUnit(f"{unit.route.scope if unit.route else 'a health check'} called effect {effect.name}")
        if unit.route.method in NAMELESS:
            raise DeclarationError(
                f"{unit.route.scope} called effect {effect.name}, but what it is handed together may be handed over in "
                "other portions next time: send a message to a queue that takes no batches, and call it there"
            )
        if unit.route.unit == "global":
            return Desk(self.ends, self.globally, None, globally=True)
        if unit.route.unit == "home" and unit.ground is None:
            unit.settle(self._tables)
        place = unit.ground or (unit.places[0] if unit.places else None)
        return Desk(self.ends, self.ends.store, place, globally=False)

    def _verdict(self, claim: Claim | None, effect: Effect[Any, Any], arguments: bytes) -> str:
        if claim and claim.owner in self._never_called:
            return "call" if claim.arguments == arguments else "changed"
        at_work = claim is not None and self.may_be_at_work(claim)
        return decide(claim, arguments, at_work=at_work, idempotent=effect.idempotent)

    def may_be_at_work(self, claim: Claim) -> bool:
        """Of this region's own attempts one knows; of another's, only when its time is over."""
        if claim.region == self.ends.region:
            return claim.owner in self._at_work
        return self.ends.clock.now() < claim.until

    def _mine(
        self,
        unit: Unit,
        effect: Effect[Any, Any],
        arguments: bytes,
        of: tuple[str, int],
        before: Claim | None,
        desk: Desk,
    ) -> Claim:
        now = self.ends.clock.now()
        return Claim(
            name=effect.name,
            work=of[0],
            ordinal=of[1],
            owner=self.ends.entropy.token(),
            unit=unit.unit,
            region=self.ends.region,
            at=now,
            until=now + effect.claim_s,
            arguments=arguments,
            attempts=before.attempts + 1 if before else 1,
            place=desk.place,
        )

    async def _claimed(
        self, desk: Desk, key: str, version: int, mine: Claim, effect: Effect[Any, Any], unit: Unit
    ) -> bool:
        """Make the claim durable, in a second region too where the effect wants that; False where a race was lost."""
        if unit.request:
            unit.request.recallable = False  # its client may leave: what is called is called
        by_peer = effect.acknowledge == "peer" and not desk.globally
        if by_peer and self.confirmations:
            self.confirmations.require(unit.holders)
        try:
            result = await desk.write(key, version, mine)
            if isinstance(result, Committed) and by_peer and self.confirmations:
                epoch, left_s = self.ends.authority.epoch, unit.remaining_s()
                await self.confirmations.committed(result, epoch, left_s, unit.holders)
        except BaseException:
            self._never_called.add(mine.owner)
            raise
        raise_fenced(result)
        return isinstance(result, Committed)

    def _still(self, mine: Claim, due_by: float) -> None:
        """Whoever stood still since it began to claim may have been taken for gone: it does not call any more."""
        if self.ends.clock.monotonic() >= due_by:
            self._never_called.add(mine.owner)
            raise EffectInFlight(f"{mine.name}: claiming it took too long", headers={"retry-after": "1"})

    async def _called(self, desk: Desk, key: str, mine: Claim, effect: Effect[Any, Any], call: Call) -> bytes:
        """Call, and record what came of it over the claim of this owner."""
        began = self.ends.clock.monotonic()
        token = CURRENT.set(_INSIDE)
        try:
            result = await call(key)
        except (NotDone, *effect.not_done):
            await self._settle(desk, key, mine, None)
            raise
        except Exception as error:
            said = said_of(error)
            if not effect.idempotent:
                await self._park(desk, key, mine, said)
                raise EffectUnknown(f"{effect.name} ({key}) raised {said}") from error
            raise
        finally:
            CURRENT.reset(token)
        if len(result) > RESULT_BYTES_MAX:
            said = f"it was done, and its result has {len(result):,} bytes; at most {RESULT_BYTES_MAX:,} are kept"
            await self._park(desk, key, mine, said)
            raise EffectUnknown(f"{effect.name} ({key}): {said}")
        if not await self._settle(desk, key, mine, replace(mine, state="done", result=result)):
            raise EffectInFlight(f"{effect.name} ({key}) was taken over", headers={"retry-after": "1"})
        self.ends.telemetry.emit(EffectDone(effect.name, key, mine.attempts, self.ends.clock.monotonic() - began))
        return result

    async def _settle(self, desk: Desk, key: str, mine: Claim, after: Claim | None) -> bool:
        """Put what is known now over the claim, if it is still of this owner; whether it was."""
        for _ in range(RACES_MAX):
            claim, version = await desk.read(key)
            if claim is None or claim.owner != mine.owner:
                self.ends.telemetry.emit(EffectOvertaken(mine.name, key, mine.unit))
                return False
            match await desk.write(key, version, after):
                case Committed():
                    return True
                case Fenced(code, detail):
                    raise of_code(code, detail)
                case _:
                    continue
        raise OutcomeUnknown(f"{mine.name} ({key}) was called, and its result could not be recorded")

    async def _park(self, desk: Desk, key: str, claim: Claim, said: str) -> None:
        if await self._settle(desk, key, claim, replace(claim, state="unknown", said=said)):
            self.ends.telemetry.emit(EffectParked(claim.name, key, claim.unit, claim.region, said))

    async def _refuse(self, desk: Desk, key: str, claim: Claim | None, version: int, verdict: str) -> None:
        """Say why the unit cannot go on. What nobody is at work on any more is listed for a person first."""
        assert claim
        about = f"{claim.name} ({key}), called by unit {claim.unit} in {claim.region}"
        if verdict == "changed":
            raise EffectChanged(f"{about} with {claim.arguments.decode()[:SAID_MAX]}")
        if verdict == "wait":
            left_s = max(1.0, claim.until - self.ends.clock.now())
            raise EffectInFlight(about, headers={"retry-after": f"{left_s:.0f}"})
        if claim.state == "begun":
            said = "the attempt ended, or its time was over, before it said how the call ended"
            unknown = replace(claim, state="unknown", said=said)
            if isinstance(await desk.write(key, version, unknown), Committed):
                self.ends.telemetry.emit(EffectParked(claim.name, key, claim.unit, claim.region, said))
        raise EffectUnknown(about)


def claim_of(row: Row | None, now: float) -> Claim | None:
    """The claim that a row holds."""
    return decode_claim(row.value) if row and row.value is not None and row.alive(now) else None
