"""Rows in and out of the database, and the reading side: each call is one statement, so that it sees one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row
from proa.engines.global_rows import global_row
from proa.engines.postgres.connections import Connection, execute, fetched, pipelined
from proa.ports import Result, Span, View

encode = msgspec.msgpack.Encoder().encode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
decode_result = msgspec.msgpack.Decoder(Result).decode


def columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as one array for each of their columns, as the statements take them."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


async def read_rows(connection: Connection, keys: Sequence[Key]) -> list[Row | None]:
    """Several rows as they are at one moment."""
    found = {(row[0], row[1]): global_row(*row) for row in await fetched(connection, "rows", columns(keys, 2))}
    return [found.get((table, key)) for table, key in keys]


async def query_rows(connection: Connection, span: Span) -> list[Row]:
    """The rows of a stretch."""
    return [global_row(*row) for row in await fetched(connection, _named(span), _bounds(span))]


async def scan_rows(connection: Connection, table: str) -> list[Row]:
    """A whole table, tombstones included."""
    return [global_row(*row) for row in await fetched(connection, "scan", (table,))]


async def read_view(connection: Connection, keys: Sequence[Key], span: Span | None) -> View:
    """Rows with the revision that they are of: one transaction that sees one moment, in one round trip."""
    async with pipelined(connection):
        await execute(connection, "begin_view")
        counted = await execute(connection, "revision")
        if span:
            asked = await execute(connection, _named(span), _bounds(span))
        else:
            asked = await execute(connection, "rows", columns(keys, 2))
        await execute(connection, "commit")
    ((revision,),) = await counted.fetchall()
    rows = [global_row(*row) for row in await asked.fetchall()]
    if span:
        return View(revision, [*rows])
    found = {(row.table, row.key): row for row in rows}
    return View(revision, [found.get((table, key)) for table, key in keys])


async def read_outcome(connection: Connection, scope: str, key: str) -> Outcome | None:
    """The outcome recorded under a key, unless it has expired."""
    found = await fetched(connection, "outcome", (scope, key))
    return decode_outcome(found[0][0]) if found else None


def _named(span: Span) -> str:
    return ("entries_between" if span.index else "rows_between") + ("_reversed" if span.reverse else "")


def _bounds(span: Span) -> dict[str, str | int | float]:
    return {
        "table": span.table,
        "index": span.index,
        "start_entry": _bound(span.start[0]),
        "start": _bound(span.start[1]),
        "end_entry": _bound(span.end[0]),
        "end": _bound(span.end[1]),
        "now": span.now,
        "limit": span.limit,
    }


def _bound(text: str) -> str:
    """The same place in an order of texts without a zero character, which the database has no room for."""
    before, zero, _ = text.partition("\0")
    return before + "\1" if zero else before
