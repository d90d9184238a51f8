"""The app on which effects and sagas are judged, and its outside world.

Simulate it as `proa.simulation.workloads.errands:errands`. A trip is a saga that books (a row of its region), pays (an
effect that may be called once only), takes a seat (a strong row) and, as its kind says, sleeps, waits for a signal, has
a child, is cancelled or fails at the end. Rows count how often each was done and undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

import msgspec

from proa.app import App
from proa.core.policy.retry import Retry
from proa.declare.context import Context
from proa.declare.effects import Effect, EffectKey, effect_key
from proa.declare.objectives import Objectives
from proa.declare.sagas import DeclaredSaga, Saga
from proa.declare.tables import Table
from proa.errors import SignalTimedOut
from proa.simulation.workloads.outside import Outside

REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-1")
LEASE_S = 4.0
TIMEOUT_S = 2.0
CLAIM_S = 0.5
"""Short, so that another region takes over within a run what one does not come back from."""
Kind = Literal["plain", "sleeps", "waits", "parent", "cancelled", "fails"]
KINDS: tuple[Kind, ...] = ("plain", "sleeps", "waits", "parent", "cancelled", "fails")
PATIENT = Retry(attempts=100, base_s=0.1, cap_s=1.0)
OUTSIDE = Outside()


class Tally(msgspec.Struct, frozen=True):
    """How often something was done, and undone."""

    id: str
    done: int = 0
    undone: int = 0


class Trip(msgspec.Struct, frozen=True):
    id: str
    kind: Kind


class Called(msgspec.Struct, frozen=True):
    """What a unit was told by the effect that it called."""

    id: str
    number: int


class Value(msgspec.Struct, frozen=True):
    value: int


def errands_app() -> App:
    """Three active regions, in which sagas and effects run."""
    app = App("standard-errands", regions=REGIONS, lease_s=LEASE_S, objectives=Objectives(rto_s=2, rpo_s=2))
    _trips(app)
    _calls(app)
    return app


Work = Callable[[Trip], Awaitable[None]]


class Steps(msgspec.Struct, frozen=True):
    """What a trip consists of, and what undoes it."""

    book: Work
    unbook: Work
    pay: Callable[[Trip], Awaitable[int]]
    unpay: Work
    sit: Work
    stand: Work


def _trips(app: App) -> None:
    bookings = app.table("bookings", Tally, key="id")
    travel = _travel(app, Steps(*_booking(bookings), *_paying(app, bookings), *_sitting(app)))

    @app.post("/trips", idempotent=True, timeout_s=TIMEOUT_S)
    async def start(trip: Trip) -> str:
        return await travel.start(trip, id=trip.id)

    @app.post("/trips/go", idempotent=True, timeout_s=TIMEOUT_S)
    async def go(trip: Trip) -> None:
        await travel.signal(trip.id, "go", 1)

    @app.post("/trips/cancel", idempotent=True, timeout_s=TIMEOUT_S)
    async def cancel(trip: Trip) -> None:
        await travel.cancel(trip.id)


def _booking(bookings: Table[Tally]) -> tuple[Work, Work]:
    async def book(trip: Trip) -> None:
        await _did(bookings, trip.id)

    async def unbook(trip: Trip) -> None:
        await _undid(bookings, trip.id)

    return book, unbook


def _paying(app: App, bookings: Table[Tally]) -> tuple[Callable[[Trip], Awaitable[int]], Work]:
    @app.effect(acknowledge="peer", claim_s=CLAIM_S)
    async def charge(id: str) -> int:
        return await OUTSIDE.call("charge", id, "")

    @app.effect(idempotent=True, claim_s=CLAIM_S)
    async def refund(id: str, key: EffectKey = effect_key) -> int:
        return await OUTSIDE.call("refund", id, key)

    async def pay(trip: Trip) -> int:
        await _did(bookings, f"{trip.id}/paid")
        return await charge(trip.id)

    async def unpay(trip: Trip) -> None:
        await _undid(bookings, f"{trip.id}/paid")
        await refund(trip.id)

    return pay, unpay


def _sitting(app: App) -> tuple[Work, Work]:
    seats = app.table("seats", Tally, key="id", mode="strong")

    async def sit(trip: Trip) -> None:
        seat = await seats.get(trip.id, Tally(trip.id))
        await seats.put(Tally(trip.id, seat.done + 1, seat.undone))

    async def stand(trip: Trip) -> None:
        seat = await seats.get(trip.id, Tally(trip.id))
        await seats.put(Tally(trip.id, seat.done, seat.done))

    return sit, stand


def _travel(app: App, steps: Steps) -> DeclaredSaga[Trip, int]:
    @app.saga(retry=PATIENT, undo_retry=PATIENT)
    async def visa(saga: Saga, trip: Trip) -> str:
        await saga.step(steps.book, trip)
        return saga.id

    @app.saga(retry=PATIENT, undo_retry=PATIENT)
    async def travel(saga: Saga, trip: Trip) -> int:
        await saga.step(steps.book, trip, undo=steps.unbook)
        number = await saga.step(steps.pay, trip, undo=steps.unpay)
        if trip.kind == "sleeps":
            await saga.sleep(0.5)
        if trip.kind in ("waits", "cancelled"):
            with suppress(SignalTimedOut):
                number += await saga.wait("go", int, timeout_s=2)
        if trip.kind == "parent":
            await saga.child(visa, Trip(f"{trip.id}/visa", "plain"))
        await saga.step(steps.sit, trip, undo=steps.stand)
        if trip.kind == "fails":
            await saga.step(_refuse, trip, retry=Retry(attempts=2, base_s=0.05))
        return number

    return travel


async def _refuse(trip: Trip) -> None:
    raise ValueError(trip.id)


async def _did(table: Table[Tally], id_: str) -> None:
    found = await table.get(id_, Tally(id_))
    await table.put(Tally(id_, found.done + 1, found.undone))


async def _undid(table: Table[Tally], id_: str) -> None:
    """Undo whatever was done; nothing may have been."""
    found = await table.get(id_, Tally(id_))
    await table.put(Tally(id_, found.done, found.done))


def _calls(app: App) -> None:
    """Units of the global store that call an effect each: one that may be called once, and one that may be repeated."""
    told = app.table("told", Called, key="id", mode="strong")

    @app.effect(claim_s=CLAIM_S)
    async def post(id: str) -> int:
        return await OUTSIDE.call("post", id, "")

    @app.effect(idempotent=True, claim_s=CLAIM_S)
    async def stamp(id: str, key: EffectKey = effect_key) -> int:
        return await OUTSIDE.call("stamp", id, key)

    def route(name: str, effect: Effect[..., int]) -> None:
        @app.post(f"/calls/{name}", idempotent=True, timeout_s=TIMEOUT_S, unit="global")
        async def call(body: Value, ctx: Context) -> Called:
            id_ = f"{name} {ctx.idempotency_key}"
            known = await told.get(f"all {name}", Called(f"all {name}", 0))
            number = await effect(id_)
            await told.put(Called(f"all {name}", known.number + body.value))
            await told.put(called := Called(id_, number))
            return called

    route("post", post)
    route("stamp", stamp)


errands = errands_app()
