"""The ledger: a decided change as one transaction on the global store, its audit entry included.

Every change of control rows but the beats goes through here, so that nothing happens without an entry in the chain.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proa.core import audit
from proa.core.failover import Change
from proa.core.replicate.journal import Key, Write
from proa.core.roles import AUDIT, INSYNC, NODES, PLANS, ROLES, ROLES_KEY
from proa.core.situation import Situation
from proa.errors import GlobalStoreUnreachable, OutcomeUnknown, StoreFull
from proa.ports import Batch

STORE_AWAY = (GlobalStoreUnreachable, OutcomeUnknown, StoreFull)
"""What a transaction raises while the global store cannot take it: nothing moves, and it is tried again later."""

encode = msgspec.msgpack.encode


def strong(table: str, key: str, value: Any) -> Write:
    """One control row's new value."""
    return Write(table, key, None if value is None else encode(value), "strong")


def batch_of(s: Situation, change: Change, by: str, batch_id: str) -> Batch:
    """The transaction that makes `change` if everything it was decided from is still so."""
    reads: dict[Key, int] = {(ROLES, ROLES_KEY): s.roles_version}
    reads |= {(NODES, name): s.nodes[name].version for name in change.evidence if name in s.nodes}
    if change.insured:
        insured = s.insync.get(change.insured)
        reads[INSYNC, change.insured] = insured.version if insured else 0
    writes: list[Write] = []
    if change.plan:
        reads[PLANS, change.plan.id] = s.plan_version if s.plan and s.plan.id == change.plan.id else 0
        writes.append(strong(PLANS, change.plan.id, change.plan))
    if change.assignment:
        writes.append(strong(ROLES, ROLES_KEY, change.assignment))
    return with_entry(s, Batch(batch_id, reads, writes), by, change)


def with_entry(s: Situation, batch: Batch, by: str, change: Change) -> Batch:
    """The same transaction, telling of itself in the audit chain."""
    assignment = change.assignment or s.assignment
    epoch = assignment.epoch if assignment else 0
    entry, head = audit.append(s.audit, by, change.action, epoch, change.plan.id if change.plan else "", change.detail)
    key = audit.entry_key(entry.number)
    return Batch(
        batch.id,
        batch.reads | {(AUDIT, audit.HEAD_KEY): s.audit_version, (AUDIT, key): 0},
        [*batch.writes, strong(AUDIT, key, entry), strong(AUDIT, audit.HEAD_KEY, head)],
    )
