"""What follows from how tables are declared, whatever the engine: the entries of rows, and which rows stop a start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from proa.core.residency import resident, table_of
from proa.errors import SchemaIncompatible
from proa.ports import Schema

NONE: Mapping[str, Schema] = {}
Progress = Callable[[str, int], None]
"""Told of each slice of a table whose entries are made anew: the table, and how many of its rows are read."""
Shapes = Mapping[str, str]
"""How tables were declared, by name."""


def unwatched(_table: str, _rows: int) -> None:
    """For a store whose opening nobody follows."""


def shapes_of(schemas: Mapping[str, Schema]) -> dict[str, str]:
    """What a store remembers of a declaration."""
    return {name: schema.shape for name, schema in schemas.items()}


def changed(known: Shapes, shapes: Shapes) -> list[str]:
    """The tables that are declared otherwise than the store remembers, or no more."""
    return [table for table in known.keys() | shapes.keys() if known.get(table) != shapes.get(table)]


def left_behind(known: Shapes, schemas: Mapping[str, Schema]) -> list[str]:
    """The parts of declared tables where no reader looks any more, since their residency is declared otherwise."""
    declared = {table_of(name) for name in schemas}
    return [name for name in sorted(known.keys() - schemas.keys()) if table_of(name) in declared]


def orphans(name: str) -> SchemaIncompatible:
    """Such a part holds rows."""
    return SchemaIncompatible(
        f"rows are kept as {name}, which is no set of regions that table {table_of(name)} declares now; "
        "declare it beside the new one until every row has been written anew"
    )


def made(
    table: str, schema: Schema, rows: Iterable[tuple[str, bytes]], unreadable: list[str]
) -> Iterator[tuple[str, str, str, str]]:
    """The entries of some rows of a table; those that could not be read are listed."""
    for key, value in rows:
        try:
            entries = schema.entries(key, value)
        except ValueError as error:
            unreadable.append(f"{key!r:.80}: {error}")
        else:
            for index, entry in entries.items():
                yield table, index, entry, key


def refuse(table: str, unreadable: list[str]) -> None:
    """Stop a start that met rows which it cannot read."""
    if unreadable:
        shown = "" if resident(table) else f", among them {unreadable[0]}"
        raise SchemaIncompatible(f"{len(unreadable):,} rows of table {table} cannot be read{shown}")


def readable(schema: Schema, key: str, value: bytes | None) -> Mapping[str, str]:
    """A row's entries. One that this declaration cannot read, from a peer with another one, is kept without."""
    try:
        return {} if value is None else schema.entries(key, value)
    except ValueError:
        return {}
