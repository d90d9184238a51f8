"""The apps on which the framework itself is judged: small routes whose contradictions are easy to see.

Each shape is declared for a mode, under `/MODE/...` and in tables named `MODE_...`: registers, accounts, counters,
lists, pairs, charges, shelves, guests and parcels. What may be concluded from an answer differs by mode, so two rules
keep every answer strong:
- Where the mode is `active` or `home`, also a read writes its row back. Only a commit of such a row is refused to a
  region that has lost its right, so only that makes a read as good as a write.
- A read of several rows is a POST with a key: it commits, so that all that it read is validated at one moment.
Simulate them as `proa.simulation.workloads.standard:active_active`, `...:active_passive`, `...:confirmed_pair` and
`...:confirmed_trio`. Where homes go and come back: `...:homes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from proa.app import App
from proa.core.replicate import crdt
from proa.core.replicate.merge import fields, function, last_writer
from proa.declare.context import Context
from proa.declare.duplicates import Duplicate
from proa.declare.levels import bounded
from proa.declare.objectives import Objectives
from proa.declare.residency import by
from proa.declare.streams import Change
from proa.declare.tables import Mode, Table
from proa.errors import AlreadyExists

REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-1")
ACCOUNTS: tuple[str, ...] = ("a", "b", "c")
OPENING = 100
"""What each account holds at first."""
WHERE = {"west": ("eu-west-1", "us-east-1"), "world": REGIONS}
"""Sets of regions that alone may hold a guest. Whoever is in several has another one in all of them, to join from."""
PAGE = 2
"""Rows of a page of an index."""
TIMEOUT_S = 2.0
LEASE_S = 4.0
"""Short, so that a hand-over fits into a run; longer than it takes to find a region lost, so that its end matters."""
Held = Literal["strong", "home", "active"]
"""The modes in which a row has one value at a time, whichever region is asked to change it."""


class Register(msgspec.Struct, frozen=True):
    id: str
    value: int | None


class Counter(msgspec.Struct, frozen=True):
    id: str
    value: int


class Items(msgspec.Struct, frozen=True):
    id: str
    value: list[int]


class Account(msgspec.Struct, frozen=True):
    id: str
    balance: int


class Element(msgspec.Struct, frozen=True):
    """One element of a set: the unit that put it there, and the element that this unit had seen, if any."""

    id: str
    unit: str
    seen: str


class Look(msgspec.Struct, frozen=True):
    """What a reader finds of an element: the unit on its left (empty: none), its right, what it had been built on."""

    unit: str
    right: bool
    cause: bool


class Parcel(msgspec.Struct, frozen=True):
    """Something posted, by this unit last."""

    id: str
    unit: str


class Heard(msgspec.Struct, frozen=True):
    """A change that a stream was told of; the unit is empty where it was a row that stood."""

    key: str
    unit: str


class Told(msgspec.Struct, frozen=True):
    """The changes of one region that a stream was told of, in that order."""

    id: str
    changes: list[Heard]


class Charge(msgspec.Struct, frozen=True):
    """One effect. Its primary key is the unit's, so that a second effect under one `key` is a second row."""

    id: str
    key: str
    amount: int


class Tally(msgspec.Struct, frozen=True):
    """What the charges come to; every charge changes it, so that charges collide."""

    id: str
    charges: int
    total: int


class Item(msgspec.Struct, frozen=True):
    """Something on a shelf, where it is found by an index; not there any more from `until` on."""

    id: str
    shelf: str
    place: int
    until: float | None = None


class Placings(msgspec.Struct):
    """How often something was placed on a shelf, or refunded, by whichever region."""

    id: str
    count: crdt.GrowCounter = msgspec.field(default_factory=crdt.GrowCounter)


class Shelf(msgspec.Struct, frozen=True):
    """What a reader finds on a shelf, page after page; `at` is the region's time, the earlier of before and after."""

    items: list[Item]
    at: float


class Place(msgspec.Struct, frozen=True):
    shelf: str
    place: int
    lasts_s: float | None = None


class Leaf(msgspec.Struct, frozen=True):
    """A number that only ever rises, so that an older one shows."""

    id: str
    value: int


class Guest(msgspec.Struct, frozen=True):
    """Somebody whom only the regions called `where` may know, by a key and a note that bear its mark."""

    id: str
    where: str
    note: str


class Stay(msgspec.Struct, frozen=True):
    where: str
    note: str


class Value(msgspec.Struct, frozen=True):
    value: int


class Swap(msgspec.Struct, frozen=True):
    expected: int | None
    new: int


class Transfer(msgspec.Struct, frozen=True):
    source: str
    target: str
    amount: int


def active_passive_app() -> App:
    """One active region, handed over automatically."""
    app = App(
        "standard-active-passive",
        regions=REGIONS,
        topology="active-passive",
        failover="automatic",
        lease_s=LEASE_S,
        objectives=Objectives(rto_s=10, rpo_s=2),
    )
    _held(app, "active")
    _held(app, "strong")
    _merged(app)
    _confirmed(app, "active")
    return app


def active_active_app() -> App:
    """Three active regions: `strong` rows, rows that have a home each, and rows that are merged."""
    app = App("standard-active-active", regions=REGIONS, lease_s=LEASE_S, objectives=Objectives(rto_s=2, rpo_s=2))
    _held(app, "strong")
    _merged(app)
    _confirmed(app, "any")
    _registers(app, "home")
    _counters(app, "home")
    _lists(app, app.table("home_lists", Items, key="id", mode="home"))
    _pages(app, "home")
    return app


def confirmed_pair_app() -> App:
    """Two regions that lose nothing: each answers when the other has it, and an automatic fail-over accepts no loss."""
    return _confirmed_app("standard-confirmed-pair", REGIONS[:2])


def confirmed_trio_app() -> App:
    """Three regions that lose nothing: any second one confirms, and who took over without asking it would lose it."""
    return _confirmed_app("standard-confirmed-trio", REGIONS)


def _confirmed_app(name: str, regions: Sequence[str]) -> App:
    app = App(
        name,
        regions=regions,
        topology="active-passive",
        failover="automatic",
        lease_s=LEASE_S,
        acknowledge="peer",
        objectives=Objectives(rto_s=10, rpo_s=0),
    )
    _confirmed(app, "active")
    return app


def homes_app() -> App:
    """Three active regions, and counters that have a home each."""
    app = App("standard-homes", regions=REGIONS, lease_s=LEASE_S, objectives=Objectives(rto_s=2, rpo_s=2))
    _counters(app, "home")
    return app


def _held(app: App, mode: Held) -> None:
    _registers(app, mode)
    _accounts(app, mode)
    _counters(app, mode)
    _lists(app, app.table(f"{mode}_lists", Items, key="id", mode=mode))
    _pairs(app, mode)
    _charges(app, mode)
    _shelves(app, mode)
    _pages(app, mode)
    if mode == "active":
        _guests(app, mode)
        _parcels(app, mode)


def _merged(app: App) -> None:
    _lists(app, app.table("any_lists", Items, key="id", mode="any", merge=last_writer()))
    _pairs(app, "any")
    _orders(app)
    _shelves(app, "any")
    _pages(app, "any")
    _guests(app, "any")
    _parcels(app, "any")


def _registers(app: App, mode: Held) -> None:
    registers = app.table(f"{mode}_registers", Register, key="id", mode=mode)
    path = f"/{mode}/registers/{{id}}"

    @app.put(path, timeout_s=TIMEOUT_S)
    async def write(id: str, body: Value) -> None:
        await registers.put(Register(id, body.value))

    @app.post(path + "/cas", idempotent=True, timeout_s=TIMEOUT_S)
    async def swap(id: str, body: Swap) -> bool:
        held = await registers.get(id, Register(id, None))
        fits = held.value == body.expected
        await registers.put(Register(id, body.new) if fits else held)
        return fits

    @app.post(path + "/read", idempotent=True, timeout_s=TIMEOUT_S)
    async def read(id: str) -> list[int | None]:
        held = await registers.get(id, Register(id, None))
        await registers.put(held)
        return [held.value]

    @app.get(path, timeout_s=TIMEOUT_S)
    async def look(id: str) -> list[int | None]:
        return [(await registers.get(id, Register(id, None))).value]


def _accounts(app: App, mode: Held) -> None:
    accounts = app.table(f"{mode}_accounts", Account, key="id", mode=mode)

    @app.post(f"/{mode}/accounts", idempotent=True, timeout_s=TIMEOUT_S)
    async def open_all() -> None:
        for name in ACCOUNTS:
            await accounts.put(await accounts.get(name, Account(name, OPENING)))

    @app.post(f"/{mode}/transfers", idempotent=True, timeout_s=TIMEOUT_S)
    async def transfer(body: Transfer) -> None:
        source, target = await accounts.get(body.source), await accounts.get(body.target)
        if source.balance < body.amount:
            raise AlreadyExists(f"account {source.id} has {source.balance} left")
        await accounts.put(Account(source.id, source.balance - body.amount))
        await accounts.put(Account(target.id, target.balance + body.amount))

    @app.post(f"/{mode}/audit", idempotent=True, unit="global" if mode == "strong" else "regional", timeout_s=TIMEOUT_S)
    async def audit() -> dict[str, int]:
        return {name: (await accounts.get(name)).balance for name in ACCOUNTS}


def _counters(app: App, mode: Held) -> None:
    counters = app.table(f"{mode}_counters", Counter, key="id", mode=mode)
    path = f"/{mode}/counters/{{id}}"

    @app.post(path, idempotent="optional", timeout_s=TIMEOUT_S)
    async def add(id: str, body: Value) -> int:
        value = (await counters.get(id, Counter(id, 0))).value + body.value
        await counters.put(Counter(id, value))
        return value


def _lists(app: App, lists: Table[Items]) -> None:
    """Lists that a handler reads, appends to and writes back. The last writer of a merged one wins."""

    @app.post(f"/{lists.mode}/lists/{{id}}", idempotent=True, timeout_s=TIMEOUT_S)
    async def append(id: str, body: Value) -> list[int]:
        items = [*(await lists.get(id, Items(id, []))).value, body.value]
        await lists.put(Items(id, items))
        return items


def _pairs(app: App, mode: Mode) -> None:
    """Elements of a set. Each is written to two tables at once, so that half a commit shows.

    Elements are numbered; each is built on the one before, if that is seen, so that an effect without its cause shows.
    """
    left = app.table(f"{mode}_left", Element, key="id", mode=mode)
    right = app.table(f"{mode}_right", Element, key="id", mode=mode)
    path = f"/{mode}/pairs/{{id}}"

    @app.post(path, idempotent=True, timeout_s=TIMEOUT_S)
    async def add(id: str, ctx: Context) -> None:
        before = str(int(id) - 1)
        added = Element(id, ctx.unit, before if await left.get(before, None) else "")
        await left.put(added)
        await right.put(added)

    @app.get(path, timeout_s=TIMEOUT_S)
    async def look(id: str) -> Look:
        """First the left, then the right and what had been seen: a commit in between can only add those."""
        found = await left.get(id, None)
        if found is None:
            return Look("", await right.get(id, None) is not None, cause=True)
        whole = await right.get(id, None) is not None
        return Look(found.unit, whole, cause=not found.seen or await left.get(found.seen, None) is not None)

    if mode == "active":
        _notes(app, left)


def _notes(app: App, left: Table[Element]) -> None:
    """Merged rows that rest on `active` ones: what falls with a hand-over takes them along."""
    notes = app.table("any_notes", Element, key="id", mode="any", merge=last_writer())

    @app.post("/active/pairs/{id}/note", idempotent=True, timeout_s=TIMEOUT_S)
    async def note(id: str) -> None:
        await notes.put(await left.get(id))


def _charges(app: App, mode: Held) -> None:
    charges = app.table(f"{mode}_charges", Charge, key="id", mode=mode)
    tallies = app.table(f"{mode}_tallies", Tally, key="id", mode=mode)

    @app.post(f"/{mode}/charges", idempotent=True, timeout_s=TIMEOUT_S)
    async def charge(body: Value, ctx: Context) -> Charge:
        tally = await tallies.get("all", Tally("all", 0, 0))
        taken = Charge(ctx.unit, ctx.idempotency_key or "", body.value)
        await tallies.put(Tally("all", tally.charges + 1, tally.total + body.value))
        await charges.put(taken)
        return taken


def _confirmed(app: App, mode: Mode) -> None:
    """Effects that a second region confirms before they are acknowledged, and a look that tells only of such."""
    charges = app.table("peer_charges", Charge, key="id", mode=mode)

    @app.post("/peer/charges", idempotent=True, acknowledge="peer", timeout_s=TIMEOUT_S)
    async def charge(body: Value, ctx: Context) -> Charge:
        taken = Charge(ctx.unit, ctx.idempotency_key or "", body.value)
        await charges.put(taken)
        return taken

    @app.post("/peer/charges/{id}/look", acknowledge="peer", timeout_s=TIMEOUT_S)
    async def look(id: str) -> Charge:
        return await charges.get(id)


def _orders(app: App) -> None:
    """Effects that every region makes for itself: one key used in two regions at once makes two, which are listed.

    Each pair is handed over and counted under its later unit; the counts of regions that handle it add up.
    """
    orders = app.table("any_charges", Charge, key="id", mode="any")
    refunds = app.table("any_refunds", Placings, key="id", merge=fields())

    async def refund(duplicate: Duplicate, _: Context) -> None:
        counted = await refunds.get(duplicate.other.unit, None) or Placings(duplicate.other.unit)
        counted.count.add()
        await refunds.put(counted)

    @app.post("/any/charges", idempotent=True, timeout_s=TIMEOUT_S, on_duplicate=refund)
    async def order(body: Value, ctx: Context) -> Charge:
        taken = Charge(ctx.unit, ctx.idempotency_key or "", body.value)
        await orders.put(taken)
        return taken


def _shelves(app: App, mode: Mode) -> None:
    """Items that are moved between shelves and found by an index, a page at a time; some are there for a while only."""
    indexes = {"by_shelf": ("shelf", "place")}
    items = app.table(f"{mode}_items", Item, key="id", mode=mode, indexes=indexes, expires="until")
    reads = app.table(f"{mode}_reads", Register, key="id", mode=mode)
    counted = app.table("any_placings", Placings, key="id", merge=fields()) if mode == "any" else None

    @app.post(f"/{mode}/items/{{id}}", idempotent=True, timeout_s=TIMEOUT_S)
    async def place(id: str, body: Place, ctx: Context) -> None:
        await items.put(Item(id, body.shelf, body.place, None if body.lasts_s is None else ctx.now() + body.lasts_s))
        if counted:
            placings = await counted.get(body.shelf, None) or Placings(body.shelf)
            placings.count.add()
            await counted.put(placings)

    @app.post(f"/{mode}/shelves/{{shelf}}/read", idempotent=True, timeout_s=TIMEOUT_S)
    async def read(shelf: str, ctx: Context) -> Shelf:
        began = ctx.now()
        found = await items.by("by_shelf").query(shelf, limit=PAGE)
        rows = found.rows
        while found.next:
            found = await items.by("by_shelf").query(shelf, limit=PAGE, start=found.next)
            rows += found.rows
        await reads.put(Register(ctx.unit, len(rows)))
        return Shelf(rows, min(began, ctx.now()))


def _pages(app: App, mode: Mode) -> None:
    """Numbers that only rise, read by default (a negative bound) or no older than so many seconds."""
    pages = app.table(f"{mode}_pages", Leaf, key="id", mode=mode, merge=function(_larger) if mode == "any" else None)
    path = f"/{mode}/pages/{{id}}"

    @app.put(path, timeout_s=TIMEOUT_S)
    async def turn(id: str, body: Value) -> int:
        held = await pages.get(id, Leaf(id, 0))
        await pages.put(_larger(held, Leaf(id, body.value)))
        return body.value

    @app.get(path + "/{within_s}", timeout_s=TIMEOUT_S)
    async def look(id: str, within_s: float) -> int:
        level = bounded(within_s) if within_s >= 0 else None
        return (await pages.get(id, Leaf(id, 0), level=level)).value


def _larger(one: Leaf, other: Leaf) -> Leaf:
    return max(one, other, key=lambda leaf: leaf.value)


def _guests(app: App, mode: Mode) -> None:
    """Rows that only some regions may hold, counted in rows that all may, in one commit; an index finds them."""
    guests = app.table(
        f"{mode}_guests", Guest, key="id", mode=mode, residency=by("where", WHERE), indexes={"by_where": "where"}
    )
    arrivals = app.table(f"{mode}_arrivals", Counter, key="id", mode=mode)

    @app.post(f"/{mode}/guests/{{id}}", idempotent=True, timeout_s=TIMEOUT_S)
    async def arrive(id: str, body: Stay) -> Guest:
        guest = Guest(id, body.where, body.note)
        await guests.put(guest)
        count = (await arrivals.get(body.where, Counter(body.where, 0))).value
        await arrivals.put(Counter(body.where, count + 1))
        return guest

    @app.post(f"/{mode}/guests/{{id}}/leave", idempotent=True, timeout_s=TIMEOUT_S)
    async def leave(id: str) -> None:
        await guests.delete(id)

    @app.post(f"/{mode}/lodgings/{{where}}/look", idempotent=True, timeout_s=TIMEOUT_S)
    async def look(where: str) -> list[Guest]:
        return (await guests.by("by_where").query(where, limit=20)).rows


def _parcels(app: App, mode: Mode) -> None:
    """Rows of whose changes a stream is told, which writes down what it heard, for each region that made them."""
    parcels = app.table(f"{mode}_parcels", Parcel, key="id", mode=mode)
    told = app.table(f"{mode}_told", Told, key="id", mode=mode)

    @app.post(f"/{mode}/parcels/{{id}}", idempotent=True, timeout_s=TIMEOUT_S)
    async def send(id: str, ctx: Context) -> None:
        await parcels.put(Parcel(id, ctx.unit))

    @parcels.changes(name=f"{mode}_told", start="beginning", batch=3)
    async def hear(change: Change[Parcel]) -> None:
        heard = (await told.get(change.region, Told(change.region, []))).changes
        await told.put(Told(change.region, [*heard, Heard(change.key, change.unit)]))

    @hear.reset
    async def clear(region: str) -> None:
        await told.delete(region)


active_active = active_active_app()
active_passive = active_passive_app()
confirmed_pair = confirmed_pair_app()
confirmed_trio = confirmed_trio_app()
homes = homes_app()
APPS = (active_active, active_passive, confirmed_pair, confirmed_trio, homes)
