"""The same POST twice: answered when its region has the commit durable, and when a second one has it, too."""

from dataclasses import dataclass

from proa import App

app = App("bench-confirmed", regions=["eu-west-1", "us-east-1"])


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


orders = app.table("orders", Order, key="id")


@app.post("/orders", idempotent=True)
async def create(order: Order) -> Order:
    await orders.put(order)
    return order


@app.post("/orders/confirmed", idempotent=True, acknowledge="peer")
async def create_confirmed(order: Order) -> Order:
    await orders.put(order)
    return order
