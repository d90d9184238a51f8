"""What clients send while a region is lost (`proa drill`, `proa sim`), and what must be true afterwards."""

from collections.abc import Sequence
from random import Random

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request, Rows, Send

PIECES = 1_000_000


class Workload(workload.Workload):
    """Customers who buy boats."""

    counted = {"orders": "reference"}  # at most one row of `orders` for each key; its `reference` is the key
    kept = ("stock",)  # other tables that `check` looks at

    async def setup(self, send: Send) -> None:
        """There are enough boats."""
        await send(Request("PUT", f"/stock/boat?left={PIECES}"))

    def request(self, number: int, rng: Random) -> Request:
        """The request of this number."""
        key = f"order-{number}-{rng.getrandbits(32):08x}"
        return Request("POST", "/orders", msgspec.json.encode({"sku": "boat"}), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request:
        """How to see again what was acknowledged."""
        return Request("GET", f"/orders/{msgspec.json.decode(answer)['id']}")

    def check(self, rows: Rows) -> Sequence[str]:
        """Sentences about what is wrong."""
        sold = PIECES - sum(row["left"] for row in rows["stock"])
        return [] if sold == len(rows["orders"]) else [f"{sold} boats were taken for {len(rows['orders'])} orders"]
