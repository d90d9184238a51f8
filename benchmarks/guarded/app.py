"""One handler three times: bare, with everything on, and with everything but what is written down.

Everything: the token is verified (from memory after the first time), a token of the client's bucket taken, the caller's
deadline and trace taken over, the body validated, the key looked up, the answer recorded with the commit.
"""

import os
from dataclasses import dataclass

from proa import App, Oidc, Throttle, scopes

app = App("bench-guarded", regions=["eu-west-1", "us-east-1"])
app.authenticate(Oidc("https://idp.example", audience="bench", jwks_url=os.environ["BENCH_JWKS"]))
PLENTY = Throttle(10**9, per="client")


@dataclass
class Order:
    id: str
    sku: str
    qty: int = 1


orders = app.table("orders", Order, key="id")


@app.post("/bare", auth=None)
async def bare(order: Order) -> Order:
    """The route of a service that keeps orders, and nothing around it."""
    await orders.put(order)
    return order


@app.post("/guarded", idempotent=True, auth=scopes("orders:write"), throttle=PLENTY)
async def guarded(order: Order) -> Order:
    """The same with everything on."""
    await orders.put(order)
    return order


@app.post("/unkept", auth=scopes("orders:write"), throttle=PLENTY)
async def unkept(order: Order) -> Order:
    """What the peer does: token, rate, body; nothing is kept."""
    return order


@app.post("/nothing", auth=None)
async def nothing(order: Order) -> Order:
    """The body alone."""
    return order
