"""Trips and calls: every saga ends, with each step done once or undone; no effect that may be called once is twice.

Once everything is healed a person looks at the effects that wait, and says what the outside world knows of them. Then
every saga that was acknowledged must end by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from random import Random
from typing import TYPE_CHECKING, ClassVar

import msgspec

from proa.core.effect import EFFECTS, Claim
from proa.core.saga import SAGAS, Record
from proa.errors import ProaError
from proa.runtime.effects import decode_claim
from proa.runtime.parked import Parked
from proa.runtime.region import Region
from proa.runtime.sagas.course import decode_record
from proa.runtime.sagas.desk import SagasDesk
from proa.simulation.checkers.evidence import losses
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.errands import KINDS, OUTSIDE, Tally
from proa.simulation.workloads.workload import Workload, own, request

if TYPE_CHECKING:
    from proa.simulation.world import World

ENDS_WITHIN_S = 150
ARRIVED_S = 5
LOOKS = 3
"""So often in a row nothing must be left before it is believed."""
NOTHING = Tally("")
TOLD_WITHIN_S = {"waits": 1.0, "cancelled": 3.0}
"""How long after its start a trip is told to go on, or cancelled: mostly while it waits."""


class Errands(Workload):
    """What both have in common: a world outside, and a person who looks there."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        return self.kind

    def surroundings(self) -> AbstractContextManager[None]:
        return OUTSIDE.begun()

    async def attend(self, world: World) -> None:
        """Settle the effects that wait, until no saga goes on. What is under way outside has arrived by then."""
        quiet = 0
        await asyncio.sleep(ARRIVED_S)
        for _ in range(ENDS_WITHIN_S):
            left = sum(await asyncio.gather(*(_at(world, region) for region in world.app.regions)))
            quiet = quiet + 1 if left == 0 else 0
            if quiet == LOOKS:
                break
            await asyncio.sleep(1)

    def collisions(self, history: Sequence[Operation]) -> int:
        """Attempts that repeated a key."""
        keys = [operation.idempotency_key for operation in own(history, self.name)]
        return len(keys) - len(set(keys))


async def _at(world: World, name: str) -> int:
    """Attend to one region; how much there is left to do."""
    region, life = world.region(name), world.nodes[name].life
    if region is None or life is None or life.halted:
        return 1
    return await life.run(life.spawn, _attended(region))


async def _attended(region: Region) -> int:
    assert region.effects
    assert region.sagas
    assert region.messages
    parked = Parked(region.app.effects, region.effects)
    waits = [one for one in await parked.listed() if one.here]
    for one in waits:
        done = OUTSIDE.done(one.effect, one.arguments["id"])
        with suppress(ProaError):  # another region was faster
            await parked.resolve(one.key, "ada", b"%d" % done if done else None)
    going = await SagasDesk(region.sagas, region.app.regions).listed("", "")
    waiting = sum(backlog.depth for intake in region.messages.intakes.values() for backlog in intake.homes.values())
    return len(waits) + len([one for one in going if one.status != "stuck"]) + waiting


class Trips(Errands):
    """Sagas of every kind, some of them signalled or cancelled on the way."""

    kind = "home trips"

    def __init__(self) -> None:
        self._begun = 0

    async def act(self, client: Client, rng: Random) -> None:
        self._begun += 1
        kind, home = rng.choice(KINDS), rng.choice((*client.regions, ""))
        trip = {"id": f"{home}:{self._begun}" if home else f"trip-{self._begun}", "kind": kind}
        await self._ask(client, "start", "/trips", trip)
        if kind in ("waits", "cancelled"):
            await asyncio.sleep(rng.random() * TOLD_WITHIN_S[kind])
            action = "go" if kind == "waits" else "cancel"
            await self._ask(client, action, f"/trips/{action}", trip)

    async def _ask(self, client: Client, action: str, path: str, trip: dict[str, str]) -> None:
        asked = request("POST", path, trip, client.new_key())
        await client.ask(Call(self.name, action, trip["id"], trip["kind"], asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        return list(self._found(own(history, self.name), final))

    def _found(self, attempts: Sequence[Operation], final: Final) -> Iterator[Violation]:
        lost = losses(final, "any")
        for region in sorted(final.regions):
            sagas = records(final, region)
            for one in attempts:
                if one.action == "start" and one.outcome == "ok" and not lost(one) and one.key not in sagas:
                    yield Violation("saga-always-ends", f"{region} does not know trip {one.key}", (one.number,))
            for id_, record in sagas.items():
                if not record.ended:
                    said = f"{record.status}, waits for {record.waits or 'nothing'}: {record.said}"
                    yield Violation("saga-always-ends", f"trip {id_} has not ended in {region}: {said}")
                else:
                    yield from _wrong(final, region, record)
        yield from _charged_twice({one.key for one in attempts})


def records(final: Final, region: str) -> dict[str, Record]:
    """The trips that a region knows, by id."""
    rows = (row for (table, _), row in final.regions[region].rows.items() if table == SAGAS and row.value is not None)
    return {record.id: record for row in rows if (record := decode_record(row.value or b"")).name == "travel"}


def _wrong(final: Final, region: str, record: Record) -> Iterator[Violation]:
    """What a trip that ended left undone, or done twice."""
    id_, done = record.id, record.status == "done"
    bookings, seats = final.table(region, "bookings"), final.strong("seats")
    steps = {"booked": bookings.get(id_), "paid": bookings.get(f"{id_}/paid"), "seated": seats.get(id_)}
    for what, tally in steps.items():
        found = tally or NOTHING
        if found.done > 1 or found.done - found.undone != int(done):
            said = f"{what} {found.done} times and undone {found.undone} times"
            yield Violation("saga steps", f"trip {id_} is {record.status} in {region}, and was {said}")
    charged, refunded = OUTSIDE.done("charge", id_), len(OUTSIDE.keys("refund", id_))
    if done and charged != 1:
        yield Violation("saga steps", f"trip {id_} is done, and was charged {charged} times")
    if not done and (refunded > 1 or (charged and not refunded)):
        yield Violation("saga steps", f"trip {id_} failed, and was charged {charged}, refunded {refunded} times")


def _charged_twice(trips: set[str]) -> Iterator[Violation]:
    for id_ in sorted(trips):
        if (charged := OUTSIDE.done("charge", id_)) > 1:
            yield Violation("unique effects", f"trip {id_} was charged {charged} times")


class Calls(Errands):
    """Units that call an effect each."""

    kind = "strong calls"

    async def act(self, client: Client, rng: Random) -> None:
        key, effect = client.new_key(), rng.choice(("post", "stamp"))
        asked = request("POST", f"/calls/{effect}", {"value": rng.randint(1, 9)}, key)
        await client.ask(Call(self.name, effect, f"{effect} {key}", None, asked))

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:
        return [found for one in own(history, self.name) for found in _judged(one, final)]


def _judged(one: Operation, final: Final) -> Iterator[Violation]:
    """What is wrong with one call."""
    called, keys = OUTSIDE.done(one.action, one.key), OUTSIDE.keys(one.action, one.key)
    if called > 1 and one.action == "post":
        yield Violation("unique effects", f"{one.key} was called {called} times", (one.number,))
    if len(keys) > 1:
        yield Violation("unique effects", f"{one.key} was called under {len(keys)} keys", (one.number,))
    row = final.strong("told").get(one.key)
    if one.outcome == "ok" and (row is None or row.number != one.result["number"] or not called):
        yield Violation("unique effects", f"{one.key} was answered {one.result}, and is kept as {row}", (one.number,))
    claims = [claim for claim in _claims(final) if msgspec.json.decode(claim.arguments) == {"id": one.key}]
    for claim in claims:
        if row and (claim.state != "done" or msgspec.msgpack.decode(claim.result) != row.number):
            said = f"{claim.state} {claim.result!r}"
            yield Violation("unique effects", f"{one.key} is kept as {row}, and its claim as {said}", (one.number,))


def _claims(final: Final) -> list[Claim]:
    rows = final.global_store.rows.items()
    return [decode_claim(row.value) for (table, _), row in rows if table == EFFECTS and row.value is not None]
