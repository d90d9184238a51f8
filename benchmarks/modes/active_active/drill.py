"""Writes to the rows of one mode, named by BENCH_MODE, and what is left of them."""

import os
from random import Random

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request

MODE = os.environ.get("BENCH_MODE", "any")


class Workload(workload.Workload):
    """Each request makes a row of its own."""

    def request(self, number: int, rng: Random) -> Request:
        key = f"{number}-{rng.getrandbits(48):012x}"
        return Request("POST", f"/{MODE}", msgspec.json.encode({"id": key, "sku": "boat-7", "qty": 3}), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request:  # noqa: ARG002 - the id is the client's
        return Request("GET", f"/{MODE}/{msgspec.json.decode(answer)['id']}")
