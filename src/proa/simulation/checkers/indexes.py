"""Every store's indexes say what its rows say, however those came there: written, merged, set aside or rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from proa.app import App
from proa.core.replicate.journal import Row
from proa.ports import Schema
from proa.simulation.history import Final, StoreState, Violation

NAMED_MAX = 3


def check(app: App, final: Final) -> list[Violation]:
    """Entries that no row has, and rows without theirs."""
    schemas = app.schemas(strong=True) | app.schemas(strong=False)
    stores = {"the global store": final.global_store, **{name: final.regions[name] for name in sorted(final.regions)}}
    return [found for name, state in stores.items() for found in _differences(name, state, schemas)]


def _differences(name: str, state: StoreState, schemas: Mapping[str, Schema]) -> Iterator[Violation]:
    rows = [row for row in state.rows.values() if row.table in schemas]
    due = frozenset(entry for row in rows for entry in _entries(row, schemas[row.table]))
    for what, entries in (("lacks", due - state.indexed), ("keeps", state.indexed - due)):
        if entries:
            yield Violation("index", f"{name} {what} {len(entries)} entries: {sorted(entries)[:NAMED_MAX]}")


def _entries(row: Row, schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    """The entries that a row should have: a damaged one has none."""
    if row.value is None:
        return
    with suppress(ValueError):
        for index, entry in schema.entries(row.key, row.value).items():
            yield row.table, index, entry, row.key
