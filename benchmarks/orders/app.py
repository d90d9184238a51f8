"""The app that is measured: an idempotent POST that commits in its region, and one that commits in the global store."""

from dataclasses import dataclass

from proa import App

app = App("bench-orders", regions=["eu-west-1", "us-east-1"])


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


orders = app.table("orders", Order, key="id")
reservations = app.table("reservations", Order, key="id", mode="strong")


@app.post("/orders", idempotent=True)
async def create(order: Order) -> Order:
    await orders.put(order)
    return order


@app.post("/orders/batch", idempotent=True)
async def create_many(batch: list[Order]) -> int:
    for order in batch:
        await orders.put(order)
    return len(batch)


@app.post("/reservations", idempotent=True)
async def reserve(order: Order) -> Order:
    await reservations.put(order)
    return order
