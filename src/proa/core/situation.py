"""The situation: all that one node knows of the system, folded from the control tables' rows as they change.

It is a value. Everything that decides (gate, controller, a region's duties) reads this and nothing else, so a fail-over
can be replayed from a list of rows and times. Times named `*_at` here are the reader's own monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Literal

import msgspec
from msgspec.structs import replace

from proa.core import lease
from proa.core.audit import HEAD_KEY, Dated, Entry, Head
from proa.core.health import HealthPolicy, Seen, Verdict
from proa.core.health import verdicts as judge
from proa.core.insync import InSync
from proa.core.plan import Plan
from proa.core.replicate.journal import Row
from proa.core.roles import AUDIT, INSYNC, NODES, PLANS, ROLES, Assignment, Node, Topology
from proa.core.time import wall_of

REPORTS_KEPT = 64
_decode_node = msgspec.msgpack.Decoder(Node).decode


class Rules(msgspec.Struct, frozen=True):
    """What the app declares and the installation configures; it does not change while the node lives."""

    regions: tuple[str, ...]
    witness: str
    edges: tuple[str, ...]
    topology: Topology
    preferred: str
    failover: Literal["approval", "automatic"] = "approval"
    lease_s: float = 10.0
    rpo_s: float = 0.0
    beat_max_s: float = 1.0
    health: HealthPolicy = HealthPolicy()
    hold_down_s: float = 20.0
    approval_ttl_s: float = 900.0
    gate_timeout_s: float = 30.0
    hold_timeout_s: float = 2.0
    drain_timeout_s: float = 10.0
    catch_up_timeout_s: float = 60.0
    shift_timeout_s: float = 5.0
    verify_timeout_s: float = 30.0
    ramp: tuple[int, ...] = (10, 50, 100)
    ramp_pause_s: float = 1.0
    turn_s: float = 0.5
    peer_acknowledged: bool = False
    """Whether every unit that commits in a region is answered only when a second region has its commit."""
    fenced_rows: bool = True
    """Whether any table has rows that only the holder of a right may write, so that a cut can park commits."""

    @property
    def beat_s(self) -> float:
        """The time between two beats."""
        return lease.beat_s(self.lease_s, self.rpo_s, self.beat_max_s)

    @property
    def listen_s(self) -> float:
        """How long to wait for news before asking for what is routine."""
        return lease.listen_s(self.beat_s)

    @property
    def fresh_s(self) -> float:
        """How long a node's last beat counts as present."""
        return 4 * self.beat_s + 0.5

    def observers(self, region: str) -> tuple[str, ...]:
        """The nodes that judge `region`: every other one."""
        return dict(self.juries)[region]

    @property
    def juries(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Each region with its observers."""
        return _juries(self.regions, self.witness, self.edges)


@lru_cache(maxsize=16)
def _juries(regions: tuple[str, ...], witness: str, edges: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Kept: it does not change while a system lives."""
    judges = dict.fromkeys([*regions, witness, *edges])
    return tuple((region, tuple(name for name in judges if name != region)) for region in regions)


class Report(msgspec.Struct, frozen=True):
    """A head that a region reported, and when it was heard."""

    origin: str
    head: int
    at: float


class Known(msgspec.Struct, frozen=True):
    """One node: its row, the row's version, its lease as watched from here, and what it reported when."""

    node: Node
    version: int
    lease: lease.LeaseWatch
    heard_at: float
    stored_at_s: float
    renewed_at_s: float
    reports: tuple[Report, ...]


class Insured(msgspec.Struct, frozen=True):
    """A region's in-sync set, and its row's version."""

    row: InSync
    version: int


class Standing(msgspec.Struct, frozen=True):
    """The verdict on a region and since when it stands."""

    verdict: Verdict = "unknown"
    since: float = 0.0


class Quorum(msgspec.Struct, frozen=True):
    """What the fresh ones of `nodes` have `seen` and therefore say of each region, from one moment until another.

    Kept, because every beat asks and hardly any brings another opinion.
    """

    nodes: dict[str, Known] | None = None
    seen: Seen | None = None
    verdicts: Mapping[str, Verdict] = {}
    since: float = 0.0
    until: float = 0.0

    def holds(self, nodes: dict[str, Known], now: float) -> bool:
        """Whether this is what `nodes` say at `now`: nobody's beat came or became old meanwhile."""
        return self.nodes is nodes and self.since <= now <= self.until

    def repeated(self, node: Node) -> bool:
        """Whether this beat is of a fresh node and brings the opinions that it had."""
        return self.seen is not None and self.seen.get(node.name) == node.seen and not node.ended

    def carried(self, nodes: dict[str, Known]) -> Quorum:
        """The same on `nodes`, which beats that repeated their opinions made of the present ones.

        `until` stands: whoever else was heard last at that time is no fresher.
        """
        return Quorum(nodes, self.seen, self.verdicts, self.since, self.until)


class Situation(msgspec.Struct, frozen=True):
    """Everything known, at one revision of the control tables.

    `plan` is the latest one, open or closed, and `trail` what was done in it.
    """

    rules: Rules
    revision: int = 0
    assignment: Assignment | None = None
    roles_version: int = 0
    epoch_at: float = 0.0
    nodes: dict[str, Known] = {}
    plan: Plan | None = None
    plan_version: int = 0
    plan_at: float = 0.0
    trail: tuple[Dated, ...] = ()
    audit: Head = Head()
    audit_version: int = 0
    standing: dict[str, Standing] = {}
    insync: dict[str, Insured] = {}
    quorum: Quorum = Quorum()
    store_s: float = 0.0
    store_at: float = 0.0

    def now_s(self, now: float) -> float:
        """The global store's clock, estimated at the reader's `now`."""
        return self.store_s + max(0.0, now - self.store_at)

    def fresh(self, name: str, now: float) -> bool:
        """Whether the node's last beat is recent."""
        known = self.nodes.get(name)
        return known is not None and _fresh(known, now, self.rules.fresh_s)

    def verdicts(self, now: float) -> Mapping[str, Verdict]:
        """What the quorum of fresh observers says of each region."""
        return self.quorum_at(now).verdicts

    def quorum_at(self, now: float) -> Quorum:
        """The quorum as it stands at `now`."""
        before = self.quorum
        if before.holds(self.nodes, now):
            return before
        fresh_s = self.rules.fresh_s
        fresh = [(name, known) for name, known in self.nodes.items() if _fresh(known, now, fresh_s)]
        seen = {name: known.node.seen for name, known in fresh}
        told = before.verdicts if seen == before.seen else judge(self.rules.juries, seen)
        until = min([known.heard_at for _, known in fresh], default=float("inf")) + fresh_s
        return Quorum(self.nodes, seen, told, now, until)


def _fresh(known: Known, now: float, fresh_s: float) -> bool:
    return not known.node.ended and now - known.heard_at <= fresh_s


def fold(
    before: Situation, rows: Sequence[Row], revision: int, store_s: float, now: float, kept_s: Sequence[float] = ()
) -> Situation:
    """The situation after these rows changed, heard at `now`; the store had kept them back for `kept_s` (none: 0)."""
    dated = zip(rows, kept_s or [0.0] * len(rows), strict=True)
    news = [(row.version, row, kept) for row, kept in dated if row.version > before.revision]
    news.sort(key=itemgetter(0))  # only what is newer: two polls may have brought the same row
    nodes, quorum = _fold_nodes(before, [(row, kept) for _, row, kept in news if row.table == NODES], now)
    revision = max(revision, before.revision)
    after = replace(before, revision=revision, nodes=nodes, quorum=quorum, store_s=store_s, store_at=now)
    for _, row, _ in news:
        if row.table != NODES and row.value is not None:
            after = _fold_row(after, row, row.value, now)
    return judged(after, now)


def judged(situation: Situation, now: float) -> Situation:
    """The same with each region's standing brought up to `now`."""
    before, quorum = situation.standing, situation.quorum_at(now)
    if quorum is situation.quorum:
        return situation
    if quorum.verdicts is situation.quorum.verdicts:
        return replace(situation, quorum=quorum)
    changed = {
        region: Standing(verdict, now)
        for region, verdict in quorum.verdicts.items()
        if region not in before or before[region].verdict != verdict
    }
    return replace(situation, quorum=quorum, standing=before | changed if changed else before)


def _fold_row(situation: Situation, row: Row, value: bytes, now: float) -> Situation:
    if row.table == ROLES:
        return _fold_roles(situation, row, msgspec.msgpack.decode(value, type=Assignment), now)
    if row.table == PLANS:
        return _fold_plan(situation, row, msgspec.msgpack.decode(value, type=Plan), now)
    if row.table == AUDIT:
        return _fold_audit(situation, row, value)
    return _fold_insured(situation, row, value) if row.table == INSYNC else situation


def _fold_insured(situation: Situation, row: Row, value: bytes) -> Situation:
    insured = Insured(msgspec.msgpack.decode(value, type=InSync), row.version)
    return replace(situation, insync=situation.insync | {row.key: insured})


def _fold_audit(situation: Situation, row: Row, value: bytes) -> Situation:
    if row.key == HEAD_KEY:
        head = msgspec.msgpack.decode(value, type=Head)
        return replace(situation, audit=head, audit_version=row.version)
    entry = msgspec.msgpack.decode(value, type=Entry)
    latest = situation.trail[-1].entry.plan if situation.trail else ""
    if not entry.plan or entry.plan < latest:
        return situation
    before = situation.trail if entry.plan == latest else ()
    return replace(situation, trail=(*before, Dated(entry, wall_of(row.stamp))))


def _fold_nodes(before: Situation, told: Sequence[tuple[Row, float]], now: float) -> tuple[dict[str, Known], Quorum]:
    """The nodes after these beats, and the quorum where it is still what they say."""
    quorum = before.quorum
    if not told:
        return before.nodes, quorum
    nodes = before.nodes.copy()
    same = quorum.holds(before.nodes, now)
    for row, kept_s in told:
        known = nodes.pop(row.key, None)
        if row.value is None:
            same = False
        else:
            nodes[row.key] = now_known = _known(known, row, _decode_node(row.value), lease.written_at(now, kept_s))
            same = same and quorum.repeated(now_known.node)
    return nodes, quorum.carried(nodes) if same else quorum


def _known(before: Known | None, row: Row, node: Node, written_at: float) -> Known:
    watched = lease.watch(before.lease if before else None, node, written_at)
    heard_at = max(written_at, before.heard_at) if before else written_at
    renewed = before is None or watched is not before.lease
    stored_at_s = wall_of(row.stamp)
    reports = before.reports if before else ()
    return Known(
        node=node,
        version=row.version,
        lease=watched,
        heard_at=before.heard_at if before and node.ended else heard_at,
        stored_at_s=stored_at_s,
        renewed_at_s=stored_at_s if renewed or before is None else before.renewed_at_s,
        reports=(*reports[-REPORTS_KEPT + 1 :], Report(node.origin, node.head, heard_at)) if node.origin else reports,
    )


def _fold_roles(situation: Situation, row: Row, assignment: Assignment, now: float) -> Situation:
    before = situation.assignment
    epoch_at = situation.epoch_at if before and before.epoch == assignment.epoch else now
    return replace(situation, assignment=assignment, roles_version=row.version, epoch_at=epoch_at)


def _fold_plan(situation: Situation, row: Row, plan: Plan, now: float) -> Situation:
    if situation.plan and situation.plan.id > plan.id:
        return situation
    return replace(situation, plan=plan, plan_version=row.version, plan_at=now)
