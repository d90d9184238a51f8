"""What an author writes; pyright strict must accept every line."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from pydantic import BaseModel

from proa import App, Context, Header, Objectives, Response, merge


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


app = App("shop", regions=["eu-west-1", "us-east-1"], objectives=Objectives(rto_s=5, rpo_s=1))
orders = app.table("orders", Order, key="id", merge=merge.last_writer())
stock = app.table("stock", Stock, key="sku", mode="strong")
notes = app.table("notes", Note, key="id")
customers = app.table("customers", Customer, key="id")


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


@app.delete("/orders/{id}")
async def remove(id: str) -> None:
    await orders.delete(id)


@app.health(every_s=5, fail_after=3)
async def payments_reachable() -> bool:
    return True
