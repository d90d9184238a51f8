"""What pyright strict must reject: each marked line carries the rule that it breaks."""

from dataclasses import dataclass

from proa import App, Saga
from proa.operate import System


@dataclass
class Order:
    id: str


@dataclass
class Stock:
    sku: str


app = App("shop", regions=["eu-west-1"])
orders = app.table("orders", Order, key="id")
sorted_orders = app.table("sorted", Order, key="id", sort="id")


@app.dependency("bank", timeout_s=1).call(idempotent=True)
async def rate_of(currency: str) -> float:
    return 1.5 * len(currency)


async def wrong() -> None:
    await rate_of(1)  # expected: reportArgumentType
    said: str = await rate_of("EUR")  # expected: reportAssignmentType
    await orders.put("x")  # expected: reportArgumentType
    await orders.put(Stock("a"))  # expected: reportArgumentType
    row: Stock = await orders.get("a")  # expected: reportAssignmentType
    await orders.get(1.5)  # expected: reportArgumentType
    await orders.insert(Stock("a"))  # expected: reportArgumentType
    await orders.get_many([("a", 1)])  # expected: reportArgumentType
    await orders.query("a")  # expected: reportAttributeAccessIssue
    await orders.put(Order("a"), only_if=lambda old: old.id == "a")  # expected: reportOptionalMemberAccess
    await orders.by("by_x").query("a", limit="x")  # expected: reportArgumentType
    await sorted_orders.get("a")  # expected: reportCallIssue
    await orders.get("a", level="strong")  # expected: reportArgumentType
    _ = said
    _ = row.left  # expected: reportAttributeAccessIssue


@app.effect
async def charge(order: Order) -> int:
    return len(order.id)


async def reserve(order: Order) -> Stock:
    return Stock(order.id)


@app.saga()
async def purchase(saga: Saga, order: Order) -> None:
    await charge(Stock("a"))  # expected: reportArgumentType
    await saga.step(reserve, Stock("a"))  # expected: reportArgumentType
    held: Order = await saga.step(reserve, order)  # expected: reportAssignmentType
    await purchase.start(Stock(held.id))  # expected: reportArgumentType


app.table("more", Order, key="id", mode="weak")  # expected: reportArgumentType
app.post("/x", idempotent="maybe")  # expected: reportArgumentType
app.get("/y", idempotent=True)  # expected: reportCallIssue
app.get("/z", auth="admin")  # expected: reportArgumentType
app.post("/z", cache=None)  # expected: reportCallIssue
app.dependency("post", timeout="1")  # expected: reportCallIssue
System().dead_letters("receipts").where(eror="0badcafe")  # expected: reportCallIssue
System().dead_letters("receipts").where(since="2h")  # expected: reportArgumentType
