"""What pyright strict must reject: each marked line carries the rule that it breaks."""

from dataclasses import dataclass

from proa import App


@dataclass
class Order:
    id: str


@dataclass
class Stock:
    sku: str


app = App("shop", regions=["eu-west-1"])
orders = app.table("orders", Order, key="id")


async def wrong() -> None:
    await orders.put("x")  # expected: reportArgumentType
    await orders.put(Stock("a"))  # expected: reportArgumentType
    row: Stock = await orders.get("a")  # expected: reportAssignmentType
    await orders.get(1.5)  # expected: reportArgumentType
    _ = row.left  # expected: reportAttributeAccessIssue


app.table("more", Order, key="id", mode="weak")  # expected: reportArgumentType
app.post("/x", idempotent="maybe")  # expected: reportArgumentType
app.get("/y", idempotent=True)  # expected: reportCallIssue
