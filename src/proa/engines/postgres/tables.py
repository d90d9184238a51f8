"""The store's own tables, made by whoever comes first, and what it keeps because of how an app's tables are declared.

Entries of indexes are made, moved and removed in the transaction that writes their row. Where the declaration has
changed since a process last started, every row of the table is read once and its entries are made anew; a row that the
declaration cannot read any more stops the start there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import LiteralString, cast
from urllib.parse import quote, urlencode, urlsplit

from psycopg import DatabaseError, errors, sql
from psycopg.conninfo import conninfo_to_dict

from proa.core.replicate.journal import Row
from proa.engines.postgres.connections import Connection, Line, address_of, execute, fetched
from proa.engines.postgres.rows import columns
from proa.engines.queries import load_statements
from proa.engines.schemas import Progress, changed, left_behind, made, orphans, readable, refuse, shapes_of
from proa.errors import StoreNewer
from proa.ports import Schema

FORMAT = 1
SCHEMA = load_statements(Path(__file__).with_name("schema.sql"))
SLICE = 10_000
"""So many rows are read at once while entries are made anew."""
MAKE_TRIES = 5
MAKE_PAUSE_S = 0.2
RACED = (
    errors.DuplicateTable,
    errors.DuplicateObject,
    errors.UniqueViolation,
    errors.SerializationFailure,
    errors.DeadlockDetected,
)
"""What whoever comes second is told while both make the same table."""
Entry = tuple[str, str, str, str]
"""In an index: table, index, entry, key of the row."""


async def ensure(connection: Connection) -> None:
    """Make the store where there is none.

    Raises:
        StoreNewer: a newer version of Proa made it.
    """
    for tries_left in reversed(range(MAKE_TRIES)):
        found = await _format(connection)
        if found:
            if found > FORMAT:
                raise StoreNewer(f"the database has format {found}; this version of Proa reads up to {FORMAT}")
            return
        try:
            await _make(connection)
        except RACED:
            if not tries_left:
                raise
            await asyncio.sleep(MAKE_PAUSE_S)


async def _format(connection: Connection) -> int:
    """The format of the store; 0 where there is none yet."""
    try:
        found = await fetched(connection, "format")
    except errors.UndefinedTable:
        return 0
    return found[0][0] if found else 0


async def _make(connection: Connection) -> None:
    await execute(connection, "begin")
    try:
        await execute(connection, "patient")
        for statement in SCHEMA:
            await connection.execute(cast("LiteralString", statement))
        await execute(connection, "found", (FORMAT,))
        await execute(connection, "commit")
    except DatabaseError:
        await execute(connection, "rollback")
        raise


async def prepare(connection: Connection, schemas: Mapping[str, Schema], progress: Progress) -> None:
    """Bring the entries of tables whose declaration has changed up to date; nobody commits meanwhile.

    Raises:
        SchemaIncompatible: rows of such a table cannot be read.
    """
    shapes = shapes_of(schemas)
    if dict(await fetched(connection, "shapes")) == shapes:
        return
    await execute(connection, "begin")
    await execute(connection, "patient")
    await execute(connection, "lock")
    known = dict(await fetched(connection, "shapes"))
    for name in left_behind(known, schemas):
        if await fetched(connection, "values_after", (name, "", 1)):
            raise orphans(name)
    for table in changed(known, shapes):
        await _rebuild(connection, table, schemas.get(table), progress)
    await execute(connection, "drop_shapes")
    declared = [(name, schema.shape, bool(schema.indexes)) for name, schema in schemas.items()]
    await execute(connection, "put_shapes", columns(declared, 3))
    await execute(connection, "commit")


async def _rebuild(connection: Connection, table: str, schema: Schema | None, progress: Progress) -> None:
    """Make all entries of a table anew; SchemaIncompatible where some of its rows could not be read."""
    await execute(connection, "drop_entries_of_table", (table,))
    if schema is None:
        return
    unreadable: list[str] = []
    after, count = "", 0
    while found := await fetched(connection, "values_after", (table, after, SLICE)):
        entries = sorted(made(table, schema, found, unreadable))  # in order, a page of the index is met once
        await execute(connection, "put_entries", columns(entries, 4))
        after, count = found[-1][0], count + len(found)
        progress(table, count)
    refuse(table, unreadable)


def moved(rows: Iterable[Row], before: Iterable[Entry], schemas: Mapping[str, Schema]) -> tuple[set[Entry], set[Entry]]:
    """The entries that rows, as they will be, make obsolete, and those that they add to the ones from before."""
    after = {
        (row.table, index, entry, row.key)
        for row in rows
        for index, entry in readable(schemas[row.table], row.key, row.value).items()
    }
    known = set(before)
    return known - after, after - known


async def emptied_schema(url: str, name: str) -> str:
    """Make a schema of its own in a database, without what an earlier one of this name had; the address of it."""
    address, schema = address_of(url), "proa_" + re.sub(r"\W", "_", name).lower()
    line = Line(address)
    try:
        await line.run(lambda connection: _empty(connection, schema))
    finally:
        await line.close()
    told = conninfo_to_dict(url)
    query = urlencode({"options": f"{told.get('options') or ''} -csearch_path={schema}".strip()}, quote_via=quote)
    return f"{url}{'&' if urlsplit(url).query else '?'}{query}"


async def _empty(connection: Connection, schema: str) -> None:
    named = sql.Identifier(schema)
    await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(named))
    await connection.execute(sql.SQL("CREATE SCHEMA {}").format(named))
