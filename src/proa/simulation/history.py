"""What clients saw, and what contradicts it: the material of every checker.

A history holds each operation with the instants at which its client sent it and heard of it, in the world's true time,
which no node can read. An operation that nobody answered may have happened at any moment after it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from proa.core.audit import Entry, Head
from proa.core.dedupe import Outcome
from proa.core.plan import Plan
from proa.core.replicate.journal import Commit, Row
from proa.core.residency import table_of
from proa.core.roles import Cut

NEVER = float("inf")


class Operation(msgspec.Struct, frozen=True):
    """One operation of a client.

    `action` and `key` are the workload's words for what was done to which object. `ok` was answered with a result,
    `failed` surely had no effect, `unknown` may have happened (`ended` is then `NEVER`). `region` and `epoch` are those
    of the answer, or of the home that it was handed on to (`at_home`); `epoch` is 0 unless it acknowledged an `active`
    or a `home` row. `idempotency_key` is shared by repeats. `answered` is the instant at which the answer left the
    region, where the world saw it.
    """

    number: int
    client: str
    workload: str
    action: str
    key: str
    argument: Any
    outcome: Literal["ok", "failed", "unknown"]
    result: Any
    began: float
    ended: float
    region: str = ""
    epoch: int = 0
    idempotency_key: str = ""
    answered: float = NEVER
    at_home: bool = False


class Violation(msgspec.Struct, frozen=True):
    """One contradiction. `invariant` is the checker's short name; `operations` are the numbers of those involved."""

    invariant: str
    detail: str
    operations: tuple[int, ...] = ()


class StoreState(msgspec.Struct, frozen=True):
    """What one store holds at the end. `rows` and `decoded` are by (table, key), tombstones only in `rows`.

    `indexed` are the entries of indexes: (table, index, entry, key). `journal` has every commit that it ever applied;
    those up to `floors` are dropped, but for parked ones, and `base` is what it keeps of them. `residents` are the
    marks of rows that only some regions may hold, as they were found among the bytes of its files; `gaps` the commits
    that came without some.
    """

    rows: Mapping[tuple[str, str], Row]
    decoded: Mapping[tuple[str, str], Any]
    cursors: Mapping[str, int] = {}
    outcomes: Mapping[tuple[str, str], Outcome] = {}
    parked: Sequence[Commit] = ()
    duplicates: Sequence[tuple[Outcome, Outcome]] = ()
    journal: Mapping[tuple[str, int], Commit] = {}
    base: Mapping[tuple[str, str], Row] = {}
    floors: Mapping[str, int] = {}
    indexed: frozenset[tuple[str, str, str, str]] = frozenset()
    residents: frozenset[str] = frozenset()
    gaps: frozenset[tuple[str, int]] = frozenset()


class Control(msgspec.Struct, frozen=True):
    """What the control plane kept of its own doing: the audit log and its head, plans by id, the cuts, the roles."""

    entries: Sequence[Entry] = ()
    head: Head = Head()
    plans: Mapping[str, Plan] = {}
    cuts: Sequence[Cut] = ()
    roles: Mapping[str, str] = {}


class Final(msgspec.Struct, frozen=True):
    """The world after it was healed and has settled. `lost_disks` are the origins whose disk is gone for good.

    `lost_at` tells for each of them since when its commits could reach no survivor: cut off, or lost, whichever came
    first. `mended`: rows were spoilt and made anew, so their local versions do not tell when they were written. Rows
    that had expired `at` the end may be there or not.
    """

    regions: Mapping[str, StoreState]
    global_store: StoreState
    lost_disks: frozenset[str] = frozenset()
    lost_at: Mapping[str, float] = {}
    control: Control = Control()
    mended: bool = False
    at: float = 0.0

    def table(self, region: str, name: str) -> dict[str, Any]:
        """The living rows of a regional table as `region` has them, by key."""
        decoded = self.regions[region].decoded.items()
        return {key: value for (table, key), value in decoded if table_of(table) == name}

    def strong(self, name: str) -> dict[str, Any]:
        """The living rows of a strong table, by key."""
        return {key: value for (table, key), value in self.global_store.decoded.items() if table == name}
