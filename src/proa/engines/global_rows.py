"""What all global stores have in common: what their rows look like, how long they keep what, what is news to whom."""

from __future__ import annotations

from collections.abc import Sequence

from proa.core.replicate.journal import Row

ORIGIN = "global/1"
TRANSACTIONS_KEPT_S = 600.0
EXPIRED_KEPT_S = 600.0
"""Longer than any region's clock may be behind, so that no region still sees a row that is collected."""


def global_row(
    table: str, key: str, value: bytes | None, stamp: int, revision: int, expires_at: float | None = None
) -> Row:
    """A row as the commit of a revision leaves it: there is one writer of one copy, so the revision says it all."""
    return Row(table, key, value, stamp, ORIGIN, revision, {ORIGIN: revision}, revision, expires_at)


def news_among(rows: Sequence[Row], written_at: Sequence[float | None], waking: Sequence[str]) -> bool:
    """Whether there is news that ends the wait. What is routine has a time since when it is kept."""
    if None not in written_at:
        return False
    return not waking or any(at is None and row.table in waking for row, at in zip(rows, written_at, strict=True))
