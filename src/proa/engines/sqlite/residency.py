"""Keys of finished units where residency is declared: kept under their digests.

A region that may not hold an answer knows its key as a digest alone. So that it meets its own record of that key, all
records of such a store are kept under digests; those that it may hold still say the key inside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from proa.core.residency import resident, sealed_key
from proa.engines.sqlite.files import SQL, get_meta
from proa.engines.sqlite.rows import Address, encode

SEALING = "sealing"


def prepare_keys(writer: sqlite3.Connection, tables: Iterable[str]) -> Address:
    """Under what this store keeps keys. Those kept before residency was declared are moved once."""
    if get_meta(writer, SEALING):
        return sealed_key
    if not any(resident(table) for table in tables):
        return str
    writer.execute("BEGIN IMMEDIATE")
    for scope, key, _ in writer.execute(SQL["all_outcomes"]).fetchall():
        writer.execute(SQL["readdress_outcome"], (sealed_key(key), scope, key))
    for scope, key in writer.execute(SQL["duplicate_keys"]).fetchall():
        writer.execute(SQL["readdress_duplicate"], (sealed_key(key), scope, key))
    writer.execute(SQL["put_meta"], (SEALING, encode(True)))
    writer.execute("COMMIT")
    return sealed_key
