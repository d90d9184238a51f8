"""One route for each mode that active regions can have; measured by `every_mode.py`.

Three of them: where one is lost, the others still have a second one to acknowledge by.
"""

from dataclasses import dataclass

from proa import App

HERE, THERE = "eu-west-1", "us-east-1"
app = App("bench-modes", regions=[HERE, THERE, "ap-southeast-1"], lease_s=2)


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


@dataclass
class Homed:
    id: str
    sku: str
    home: str


merged = app.table("merged", Order, key="id")
spread = app.table("spread", Order, key="id", mode="home")
homed = app.table("homed", Homed, key="id", mode="home", home="home")
strong = app.table("strong", Order, key="id", mode="strong")


@app.post("/any", idempotent=True)
async def write_any(order: Order) -> Order:
    await merged.put(order)
    return order


@app.post("/peer", idempotent=True, acknowledge="peer")
async def write_peer(order: Order) -> Order:
    await merged.put(order)
    return order


@app.post("/home", idempotent=True)
async def write_home(order: Order) -> Order:
    await spread.put(order)
    return order


@app.post("/home-here", idempotent=True)
async def write_here(order: Order) -> Order:
    await homed.put(Homed(order.id, order.sku, HERE))
    return order


@app.post("/home-there", idempotent=True)
async def write_there(order: Order) -> Order:
    await homed.put(Homed(order.id, order.sku, THERE))
    return order


@app.post("/strong", idempotent=True)
async def write_strong(order: Order) -> Order:
    await strong.put(order)
    return order


@app.get("/any/{id}")
async def read_any(id: str) -> Order:
    return await merged.get(id)


@app.get("/peer/{id}")
async def read_peer(id: str) -> Order:
    return await merged.get(id)


@app.get("/home/{id}")
async def read_home(id: str) -> Order:
    return await spread.get(id)


@app.get("/strong/{id}")
async def read_strong(id: str) -> Order:
    return await strong.get(id)
