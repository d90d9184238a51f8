"""Small apps for the command line's tests."""

SHOP = """
from dataclasses import dataclass
from proa import App, merge

@dataclass
class Order:
    id: str
    qty: int = 1

app = App("shop", regions=["eu-west-1", "us-east-1"], lease_s=2)
orders = app.table("orders", Order, key="id", merge=merge.last_writer())
stock = app.table("stock", Order, key="id", mode="strong")

@app.post("/orders", idempotent=True)
async def create(order: Order) -> Order:
    await orders.put(order)
    return order

@app.put("/stock/{id}")
async def fill(id: str, order: Order) -> Order:
    await stock.put(order)
    return order

@app.get("/orders/{id}")
async def read(id: str) -> Order:
    return await orders.get(id)
"""

FIRST_COMES = """
import msgspec
from proa import App

class Note(msgspec.Struct):
    id: str
    text: str

class Ours:
    name = "ours"

    def combine(self, ours, theirs):
        return ours

app = App("notes", regions=["eu-west-1", "us-east-1"])
notes = app.table("notes", Note, key="id", merge=Ours())
"""
