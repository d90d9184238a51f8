"""What clients send while a region is lost (`proa drill`, `proa sim`), and what must be true afterwards."""

from collections.abc import Sequence
from random import Random

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request, Rows


class Workload(workload.Workload):
    """People who sign up."""

    counted = {"members": "reference"}  # at most one row of `members` for each key; its `reference` is the key
    kept = ("mails",)  # other tables that `check` looks at

    def request(self, number: int, rng: Random) -> Request:
        """The request of this number."""
        key = f"member-{number}-{rng.getrandbits(32):08x}"
        body = {"name": f"Member {number}", "email": f"member-{number}@example.org"}
        return Request("POST", "/members", msgspec.json.encode(body), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request:
        """How to see again what was acknowledged."""
        return Request("GET", f"/members/{msgspec.json.decode(answer)['id']}")

    def check(self, rows: Rows) -> Sequence[str]:
        """Sentences about what is wrong."""
        unwelcome = {row["id"] for row in rows["members"]} - {row["id"] for row in rows["mails"]}
        return [f"{len(unwelcome)} members got no mail, for example {min(unwelcome)}"] if unwelcome else []
