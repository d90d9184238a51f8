"""A shop that sells in every region, and goes on selling when one of them is lost."""

from dataclasses import dataclass

from proa import AlreadyExists, App, Context, Objectives, merge


@dataclass
class Stock:
    sku: str
    left: int


@dataclass
class Purchase:
    sku: str


@dataclass
class Order:
    id: str
    sku: str
    reference: str


@dataclass
class Cart:
    id: str
    skus: list[str]


app = App("my-app", regions=["eu-west-1", "us-east-1"], objectives=Objectives(rto_s=5, rpo_s=0))

# In the global store: two regions never sell the last piece twice, and the loss of a region loses no order.
stock = app.table("stock", Stock, key="sku", mode="strong")
orders = app.table("orders", Order, key="id", mode="strong")
# In every region, at local speed: of two changes at the same moment the later one is kept.
carts = app.table("carts", Cart, key="id", merge=merge.last_writer())


@app.put("/stock/{sku}", idempotent="optional")
async def fill(sku: str, left: int) -> Stock:
    """Say how many pieces there are."""
    filled = Stock(sku, left)
    await stock.put(filled)
    return filled


@app.post("/orders", idempotent=True, timeout_s=2)
async def buy(purchase: Purchase, ctx: Context) -> Order:
    """Take a piece and keep the order: both or neither, once for each Idempotency-Key."""
    found = await stock.get(purchase.sku)
    if found.left == 0:
        raise AlreadyExists(f"{purchase.sku} is sold out")
    await stock.put(Stock(found.sku, found.left - 1))
    order = Order(ctx.unit, purchase.sku, ctx.idempotency_key or "")
    await orders.put(order)
    return order


@app.get("/orders/{id}")
async def read_order(id: str) -> Order:
    """An order."""
    return await orders.get(id)


@app.put("/carts/{id}", objectives=Objectives(rpo_s=5))  # a lost region may take the last seconds of carts with it
async def fill_cart(id: str, skus: list[str]) -> Cart:
    """Keep a cart."""
    cart = Cart(id, skus)
    await carts.put(cart)
    return cart


@app.get("/carts/{id}")
async def read_cart(id: str) -> Cart:
    """A cart, as this region knows it."""
    return await carts.get(id)
