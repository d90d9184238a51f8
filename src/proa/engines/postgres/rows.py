"""Rows in and out of the database, and the reading side: each call is one statement, so that it sees one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row
from proa.engines.global_rows import global_row
from proa.engines.postgres.connections import Connection, Cursor, execute, fetched, pipelined
from proa.engines.queries import bounds, of_span
from proa.ports import Result, Span, View

encode = msgspec.msgpack.Encoder().encode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
decode_result = msgspec.msgpack.Decoder(Result).decode


def columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as one array for each of their columns, as the statements take them."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


async def read_rows(connection: Connection, keys: Sequence[Key]) -> list[Row | None]:
    """Several rows as they are at one moment."""
    return _in_order(keys, [global_row(*row) for row in await fetched(connection, "rows", columns(keys, 2))])


async def query_rows(connection: Connection, span: Span) -> list[Row]:
    """The rows of a stretch."""
    return [global_row(*row) for row in await (await _asked(connection, span)).fetchall()]


async def scan_rows(connection: Connection, table: str) -> list[Row]:
    """A whole table, tombstones included."""
    return [global_row(*row) for row in await fetched(connection, "scan", (table,))]


async def read_view(connection: Connection, keys: Sequence[Key], span: Span | None) -> View:
    """Rows with the revision that they are of: one transaction that sees one moment, in one round trip."""
    async with pipelined(connection):
        await execute(connection, "begin_view")
        counted = await execute(connection, "revision")
        asked = await (_asked(connection, span) if span else execute(connection, "rows", columns(keys, 2)))
        await execute(connection, "commit")
    ((revision,),) = await counted.fetchall()
    rows = [global_row(*row) for row in await asked.fetchall()]
    return View(revision, [*rows] if span else _in_order(keys, rows))


async def read_outcome(connection: Connection, scope: str, key: str) -> Outcome | None:
    """The outcome recorded under a key, unless it has expired."""
    found = await fetched(connection, "outcome", (scope, key))
    return decode_outcome(found[0][0]) if found else None


async def _asked(connection: Connection, span: Span) -> Cursor:
    bound = {name: _bound(value) if isinstance(value, str) else value for name, value in bounds(span).items()}
    return await execute(connection, of_span(span, "between"), bound)


def _in_order(keys: Sequence[Key], rows: Iterable[Row]) -> list[Row | None]:
    """The row of each key, as far as there is one."""
    found = {(row.table, row.key): row for row in rows}
    return [found.get((table, key)) for table, key in keys]


def _bound(text: str) -> str:
    """The same place in an order of texts without a zero character, which the database has no room for."""
    before, zero, _ = text.partition("\0")
    return before + "\1" if zero else before
