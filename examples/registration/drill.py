"""The drill of registration: sign-ups, and at the end a profile, a mail and a count for each of them, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import ClassVar

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request, Rows


class Workload(workload.Workload):
    """People who sign up."""

    counted: ClassVar[Mapping[str, str]] = {"members": "key"}
    kept: ClassVar[Sequence[str]] = ("mails", "profiles")

    def request(self, number: int, rng: Random) -> Request:
        """One sign-up."""
        key = f"member-{number}-{rng.getrandbits(48):012x}"
        body = {"name": f"Member {number}", "email": f"member-{number}@example.org"}
        return Request("POST", "/members", msgspec.json.encode(body), key=key)

    def read_back(self, request: Request, answer: bytes) -> Request | None:  # noqa: ARG002 - the answer says it all
        """The member must be there, in every region."""
        return Request("GET", f"/members/{msgspec.json.decode(answer)['id']}")

    def check(self, rows: Rows) -> Sequence[str]:
        """Every member was welcomed and has a profile, and nobody else."""
        return list(_missing(rows))


def _missing(rows: Rows) -> Iterator[str]:
    members = {row["id"] for row in rows["members"]}
    for table, field in (("mails", "member"), ("profiles", "id")):
        found = Counter(row[field] for row in rows[table])
        if lacking := members - found.keys():
            yield f"{len(lacking)} members are not among the {table}, for example {min(lacking)}"
        if unknown := found.keys() - members:
            yield f"{table} has rows of {len(unknown)} members who never signed up, for example {min(unknown)}"
