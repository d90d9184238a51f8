"""What the load process remembers of each request; all that an account is made from.

Times are wall-clock seconds of this machine, taken from one monotonic clock, so that they compare with the moment of a
fault and with the stamps of the global store's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["first", "later", "at_once", "elsewhere", "abandoned", "after_timeout"]
"""`first`: due by the plan. The others repeat its key: after its answer, at the same moment, directly at another
region, or after a first attempt that the client gave up on (`abandoned`, then `after_timeout`)."""
THROUGH_EDGE: frozenset[Kind] = frozenset({"first", "later", "at_once", "after_timeout"})
"""The kinds that count as requests. An abandoned attempt is no request that failed: its repeat counts in its place."""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One attempt. `due` is when it should have been sent, `end` when it was over; `status` 0 means no answer.

    `digest` is the answer's body, `read` the path that must find what was written (empty for a read). `wrong` is what
    the workload found wrong with the answer: "" for nothing, None where it did not look.
    """

    number: int
    kind: Kind
    key: str
    due: float
    sent: float
    end: float
    status: int
    region: str = ""
    replayed: bool = False
    digest: bytes = b""
    read: str = ""
    error: str = ""
    wrong: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was answered with success."""
        return 200 <= self.status < 300

    @property
    def latency_s(self) -> float:
        """From the due time: a generator that is held up does not hide what its clients would have seen."""
        return self.end - self.due


def save(records: Sequence[Record], path: Path) -> None:
    """Write the records to a file."""
    path.write_bytes(msgspec.msgpack.encode(records))


def load(path: Path) -> list[Record]:
    """Read the records of a file."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Record])
