"""What a region holds of rows that only some regions may hold, found by looking: the proof that residency is kept."""

from __future__ import annotations

import msgspec

from proa.app import App
from proa.core.residency import Holding, forbidden, table_of
from proa.ports import RegionStore
from proa.runtime.records import damaged

GAPS_SHOWN = 1000


class Holdings(msgspec.Struct, frozen=True):
    """One region's census. `forbidden` is what it may not have; `lacking` names commits that came incomplete.

    `damaged` names entries of its journal that cannot be read, `unreadable` records of finished keys: what they hold is
    not counted.
    """

    region: str
    held: list[Holding]
    forbidden: list[Holding]
    lacking: list[str]
    damaged: list[str]
    unreadable: list[str]


async def holdings(app: App, region: str, store: RegionStore) -> Holdings:
    """Count what a region's store holds."""
    found = await store.holdings(lambda part, value: _fits(app, part, value))
    lacking = [f"{gap.origin}:{gap.seq}" for gap in await store.gaps(GAPS_SHOWN)]
    named = await damaged(store)
    return Holdings(region, found.held, forbidden(region, found.held), lacking, named, found.unreadable)


def _fits(app: App, part: str, value: bytes) -> bool:
    """Whether a row is kept in the part that its own field names."""
    try:
        if table_of(part) not in app.tables:
            return (
                part in app.kept()
            )  # messages and dead letters: whatever a queue's residency is, it is of all of them
        table = app.table_of(part)
        return table.residency is not None and table.residency.of(table.decode(value)) == part
    except Exception:  # noqa: BLE001 - an undeclared table, torn bytes, an author's own checks
        return False
