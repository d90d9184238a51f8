"""Who may act: nodes, the roles of regions, the epoch, and the cuts that each change of epoch recorded.

All of it are rows of control tables (names start with `~`, which no app can declare) in the global store. They change
only by compare-and-set on their version, so a stale reader changes nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from proa.core.replicate.stamp import continues

Role = Literal["active", "standby", "fenced", "draining", "down"]
Topology = Literal["active-active", "active-passive"]
NodeKind = Literal["region", "witness", "edge"]

CONTROL_PREFIX = "~"
NODES = "~nodes"
"""Key: node name. Value: `Node`."""
ROLES = "~roles"
"""Key: `roles`. Value: `Assignment`."""
ROLES_KEY = "roles"
INCARNATIONS = "~incarnations"
"""Key: region. Value: `Incarnation`."""
PLANS = "~plans"
"""Key: plan id. Value: `proa.core.plan.Plan`."""
INSYNC = "~insync"
"""Key: region. Value: `proa.core.insync.InSync`."""
RELEASES = "~releases"
"""Key: region. Value: `proa.core.insync.Release`."""
OPERATORS = "~operators"
"""Key: operator name. Value: `proa.control.operators.Operator`."""
AUDIT = "~audit"
"""Key: twelve-digit number, or `head`. Value: `proa.core.audit.Entry` (`Head`)."""


class Cut(msgspec.Struct, frozen=True):
    """The sequence of an origin that `epoch` starts from; later commits made under older epochs came too late."""

    epoch: int
    origin: str
    seq: int


class Assignment(msgspec.Struct, frozen=True):
    """The present roles. `epoch` rises with every change of rights, `revision` with every change of weights in it.

    `revoked` maps a region to the epoch in which its right to write was withdrawn: it gets no renewal until a plan has
    given it a role again. `weights` (0-100) are each region's share of new traffic at the edge.
    """

    epoch: int
    topology: Topology
    roles: dict[str, Role]
    revision: int = 0
    weights: dict[str, int] = {}
    revoked: dict[str, int] = {}
    cuts: tuple[Cut, ...] = ()

    def active(self) -> tuple[str, ...]:
        """The regions that serve writes, in declared order."""
        return tuple([region for region, role in self.roles.items() if role == "active"])

    def may_write(self, region: str) -> bool:
        """Whether `region` holds the right to write `active` rows in this epoch (its lease apart)."""
        return self.roles.get(region) == "active" and region not in self.revoked


class Incarnation(msgspec.Struct, frozen=True):
    """The life of a region's disk that the global store issued last, and the nonce of its last boot."""

    number: int
    nonce: str


class Observation(msgspec.Struct, frozen=True):
    """What one node saw of a region at its last probes. `failing` names the deep checks that failed."""

    live: bool
    deep: Literal["pass", "warn", "fail", "unknown"] = "unknown"
    failing: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether there is nothing against the region."""
        return self.live and self.deep in ("pass", "warn")


class Node(msgspec.Struct, frozen=True):
    """One node's beat: its lease renewal and what it reports with it.

    `counter` rises with each renewal; a challenger watches it stay unchanged for the lease's length on its own clock.
    `epoch` and `revision` are those of the assignment that the node acts on (for the edge: has put into effect).
    `drained` is the epoch for which a fenced region has stopped and flushed; its final sequence is then in `head`.
    `held` are the origins that this region applies no more until a cut names them, with its cursor at that moment.
    `ended` is true where this life's end was confirmed by somebody who knows (a supervisor, an operator).
    `stopped` is the epoch under whose predecessors this region commits nothing any more: what it did is in `cursors`.
    `whole_since` is the life since which the region's disk lost nothing; 0: the present one.
    """

    name: str
    kind: NodeKind
    boot: str
    counter: int
    lease_s: float
    origin: str = ""
    epoch: int = 0
    revision: int = 0
    head: int = 0
    cursors: dict[str, int] = {}
    held: dict[str, int] = {}
    drained: int | None = None
    ready: bool = False
    ended: bool = False
    version: str = ""
    schema: str = ""
    seen: dict[str, Observation] = {}
    stopped: int = 0
    whole_since: int = 0

    def continues(self, origin: str) -> bool:
        """Whether this region's disk has all that it had in its life `origin`."""
        return bool(self.origin) and continues(self.origin, self.whole_since, origin)

    def repeats(self, before: Node) -> bool:
        """Whether it says no more than `before` did, save that the node lives on, how far it came, and what is well.

        A region that was not seen before and is well is nothing that anybody waits for.
        """
        new = self.seen.keys() - before.seen.keys()
        seen = {name: seen for name, seen in self.seen.items() if name not in new} if new else self.seen
        if not all(self.seen[name].well for name in new):
            return False
        return replace(self, counter=before.counter, head=before.head, cursors=before.cursors, seen=seen) == before
