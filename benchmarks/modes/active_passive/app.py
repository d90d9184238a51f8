"""A route for rows that the active region alone writes; measured by `every_mode.py`."""

from dataclasses import dataclass

from proa import App, Objectives

app = App(
    "bench-active",
    regions=["eu-west-1", "us-east-1"],
    topology="active-passive",
    lease_s=2,
    objectives=Objectives(rto_s=10, rpo_s=2),
)


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


orders = app.table("orders", Order, key="id")


@app.post("/active", idempotent=True)
async def write(order: Order) -> Order:
    await orders.put(order)
    return order


@app.get("/active/{id}")
async def read(id: str) -> Order:
    return await orders.get(id)
