"""Reading the audit log from the global store. The chain and the timeline are `core.audit`'s."""

from __future__ import annotations

import msgspec

from proa.core.audit import HEAD_KEY, Dated, Entry, Head, Phase, broken_at, timeline
from proa.core.roles import AUDIT
from proa.core.time import wall_of
from proa.ports import GlobalStore

__all__ = ["Dated", "Entry", "Head", "Phase", "broken_at", "read_log", "timeline"]


async def read_log(store: GlobalStore) -> tuple[list[Dated], Head]:
    """All entries in order, with the times at which the store wrote them, and the head of the chain."""
    rows = [row for row in await store.scan(AUDIT) if row.value is not None]
    heads = [msgspec.msgpack.decode(row.value or b"", type=Head) for row in rows if row.key == HEAD_KEY]
    entries = [
        Dated(msgspec.msgpack.decode(row.value or b"", type=Entry), wall_of(row.stamp))
        for row in sorted(rows, key=lambda row: row.key)
        if row.key != HEAD_KEY
    ]
    return entries, heads[0] if heads else Head()
