"""What clients send while a region is lost (`proa drill`, `proa sim`)."""

from random import Random

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request


class Workload(workload.Workload):
    """People who report what is broken."""

    counted = {"tickets": "reference"}  # at most one row of `tickets` for each key; its `reference` is the key

    def request(self, number: int, rng: Random) -> Request:
        """The request of this number."""
        key = f"report-{number}-{rng.getrandbits(32):08x}"
        return Request("POST", "/tickets", msgspec.json.encode({"text": "the oar is broken"}), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request:
        """How to see again what was acknowledged."""
        return Request("GET", f"/tickets/{msgspec.json.decode(answer)['id']}")
