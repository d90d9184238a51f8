"""What an author writes; pyright strict must accept every line."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

import msgspec
from pydantic import BaseModel

from proa import (
    ApiKeys,
    App,
    Breaker,
    Budget,
    Bulkhead,
    Cache,
    Context,
    EffectKey,
    Header,
    Hedge,
    Idempotency,
    Limit,
    Objectives,
    Oidc,
    Page,
    Principal,
    Response,
    Retry,
    Saga,
    add,
    append,
    assign,
    bounded,
    cached,
    effect_key,
    guard,
    merge,
    purge,
    remove,
    roles,
    scopes,
    strong,
)
from proa.operate import Letter, Moving, System


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


@dataclass
class Stock:
    sku: str
    left: int


class Note(msgspec.Struct):
    id: int
    text: str


class Customer(BaseModel):
    id: str
    email: str


@dataclass
class Reading:
    device: str
    at: float
    value: float
    tags: list[str]


app = App("shop", regions=["eu-west-1", "us-east-1"], objectives=Objectives(rto_s=5, rpo_s=1))
orders = app.table("orders", Order, key="id", merge=merge.last_writer())
stock = app.table("stock", Stock, key="sku", mode="strong")
notes = app.table("notes", Note, key="id")
customers = app.table("customers", Customer, key="id")
readings = app.table("readings", Reading, key="device", sort="at", indexes={"by_value": ("device", "value")})


auth = app.authenticate(Oidc("https://idp.example", audience="shop"), ApiKeys(), recheck_s=0.5)


@app.post(
    "/refunds", auth=scopes("orders:write") & roles("admin"), idempotent=Idempotency(failures="all", expires_s=60)
)
async def refund(who: Principal, ctx: Context) -> str:
    await auth.revoke(who, ctx, reason="refunded")
    await auth.revoke_subject(who.issuer, who.subject, ctx)
    key: str = await auth.keys.issue("robot", ctx, scopes=["a"], lifetime_s=60)
    return key + await auth.keys.rotate(who.id, ctx, overlap_s=60)


@app.get("/open", auth=None)
async def open_to_all(who: Principal | None, ctx: Context) -> str:
    return ctx.principal.subject if ctx.principal and who else ""


@app.post("/orders", idempotent=True, timeout_s=2)
async def create(order: Order, ctx: Context) -> Order:
    await orders.put(order)
    assert ctx.region
    return order


@app.get("/orders/{id}")
async def read(id: str) -> Order:
    return await orders.get(id)


@app.put("/customers/{id}")
async def keep(id: str, customer: Customer, trace: Annotated[str, Header("x-trace")] = "") -> Customer:
    await customers.put(customer)
    return customer


@app.get("/notes/{id}")
async def note(id: int, default: str = "") -> Response:
    found = await notes.get(id, None)
    return Response(found.text if found else default)


@app.patch("/stock/{sku}")
def pure(sku: str) -> dict[str, str]:
    return {"sku": sku}


@app.get("/readings/{device}")
async def latest(device: str, start: str | None = None) -> Page[Reading]:
    return await readings.query(device, after=0.0, reverse=True, limit=10, start=start)


@app.post("/readings")
async def record(reading: Reading) -> list[Reading]:
    await readings.insert(reading)
    await readings.put(reading, only_if=lambda old: old is None or old.value < reading.value)
    await readings.update("d", 1.5, add(value=1), append(tags="x"), only_if=lambda old: old.value > 0)
    highest: Page[Reading] = await readings.by("by_value").query("d", reverse=True)
    found: list[Reading | None] = await readings.get_many([("d", 1.5), ("d", 2.5)])
    left: Stock = await stock.update("boat", add(left=-1), assign(sku="boat"), remove("left"))
    assert left.left
    return highest.rows + [row for row in found if row]


@dataclass
class Session:
    id: str
    players: merge.AddWinsSet[str] = field(default_factory=merge.AddWinsSet[str])
    score: merge.Counter = field(default_factory=merge.Counter)
    host: merge.Register[str] = field(default_factory=lambda: merge.Register("nobody"))
    notes: merge.MultiValue[str] = field(default_factory=merge.MultiValue[str])
    best: int = 0


def longer(one: Note, other: Note) -> Note:
    return max(one, other, key=lambda note: (len(note.text), note.text))


sessions = app.table("sessions", Session, key="id", merge=merge.fields(best=max))
long_notes = app.table("long_notes", Note, key="id", merge=merge.function(longer))


@app.post("/sessions/{id}/players/{player}")
async def join(id: str, player: str) -> list[str]:
    session = await sessions.get(id, None) or Session(id)
    session.players.add(player)
    session.score.add(3)
    session.host.set(player)
    best: int = max(session.best, session.score.value)
    host: str = session.host.value
    await sessions.put(session)
    return [*session.players, host, *session.notes.values, str(best)]


@app.delete("/orders/{id}")
async def cancel(id: str) -> None:
    await orders.delete(id)


@app.health(every_s=5, fail_after=3)
async def payments_reachable() -> bool:
    return True


@app.get("/levels/{id}")
async def leveled(id: str) -> list[Order | None]:
    one: Order = await orders.get(id, level=bounded(5))
    none: Order | None = await orders.get(id, None, level=bounded(0.5))
    left: Stock = await stock.get(id, level=strong)
    page: Page[Reading] = await readings.query(id, level=bounded(1))
    assert left.left + len(page.rows)
    return [one, none, *await orders.get_many([id], level=bounded(1))]


bank = app.dependency("bank", retry=Retry(attempts=3), breaker=Breaker(), limit=Limit(10), timeout_s=1)


def unknown(currency: str) -> float:
    return 1.0 * len(currency)


@bank.call(idempotent=True, hedge=Hedge(after_s=0.1), fallback=(cached(60), unknown))
async def rate_of(currency: str) -> float:
    return 1.5 * len(currency)


@bank.call
def wire(amount: int) -> str:
    return str(amount)


@guard(retry=Retry(), budget=Budget(), bulkhead=Bulkhead(2), timeout_s=1)
async def plain(amount: int) -> str:
    return str(amount)


@app.get("/rates/{currency}", cache=Cache(60, tags=("rates",)))
async def rate(currency: str) -> float:
    known: float = await rate_of(currency)
    said: str = await plain(1)
    assert wire(1) + said
    purge(tag="rates")
    return known


@app.effect
async def charge(order: Order, key: EffectKey = effect_key) -> int:
    return len(order.id + key)


@app.effect(idempotent=True, claim_s=5)
async def give_back(order: Order, *, cents: int = 0) -> None: ...


async def reserve(order: Order, left: int) -> Stock:
    return Stock(order.sku, left)


async def release(order: Order, left: int) -> None: ...


@app.saga(version=2, retry=Retry(attempts=3))
async def ship(saga: Saga, order: Order) -> str:
    return saga.token()


@app.saga()
async def purchase(saga: Saga, order: Order) -> int:
    held: Stock = await saga.step(reserve, order, 1, undo=release, timeout_s=5)
    await saga.sleep(held.left)
    approval: Note = await saga.wait("approved", Note, timeout_s=3600)
    parcel: str = await saga.child(ship, order)
    return await saga.step(charge, order) + len(parcel) + approval.id


@app.post("/purchases")
async def buy(order: Order) -> str:
    number: int = await charge(order)
    await give_back(order, cents=number)
    id_: str = await purchase.start(order, id=order.id)
    await purchase.signal(id_, "approved", Note(1, "yes"))
    return id_


def mend(system: System) -> int:
    typos = system.dead_letters("receipts").where(code="PROA-M002", since=timedelta(hours=2), fields={"id": 7})
    letters: list[Letter] = [typos.edit(letter.message, Order("7", "a")) for letter in typos.latest(10)]
    moving: Moving = typos.redrive(to="us-east-1", rate=200)
    return len(letters) + moving.moved if moving.wait(timeout_s=5) else typos.count().letters
