"""What all global stores have in common: what their rows look like, and how long they keep what."""

from __future__ import annotations

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
