"""Tables: typed rows under a key, and who may write them.

Modes: `any` every region writes, concurrent writes meet the merge policy; `active` only the active region writes;
`strong` rows live in the global store. A `Table` holds one row under a key, a `SortedTable` a row for each sort value
under a key, to be queried in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, get_type_hints, overload

import msgspec

from proa.core.replicate.merge import Merge
from proa.declare.codec import RowCodec, field_names
from proa.declare.context import current_unit
from proa.declare.keys import KeyForm, KeyValue, SortValue, encoder, key_text, optional
from proa.declare.queries import LIMIT, Page, check_limit, pages_beside, read_cursor, walk
from proa.errors import DeclarationError, NotFound, RowTooLarge, Unprocessable
from proa.ports import Position, Span

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")
Mode = Literal["any", "active", "strong"]
MODES = ("any", "active", "strong")
ROW_BYTES_MAX = 400_000
SORTABLE = "text, whole numbers, floats, booleans, dates and times have an order"
_MISSING: Any = object()


class TableOptions(msgspec.Struct, frozen=True):
    """How a table is declared, besides its name and the type of its rows."""

    key: str
    mode: Mode = "any"
    merge: Merge | None = None
    sort: str | None = None


class BaseTable(Generic[T]):
    """What every table can do. Its methods work inside a handler and are part of that handler's unit of work."""

    def __init__(self, name: str, kind: type[T], options: TableOptions) -> None:
        mode = options.mode
        if not name.isidentifier():
            raise DeclarationError(f"table name {name!r} must be an identifier (letters, digits, underscore)")
        if mode not in MODES:
            raise DeclarationError(f"table {name}: mode {mode!r} is none of {', '.join(MODES)}")
        if options.merge is not None and mode != "any":
            raise DeclarationError(f"table {name}: a merge policy fits mode `any` only; `{mode}` rows never conflict")
        names = field_names(kind)
        if names is not None and options.key not in names:
            raise DeclarationError(f"table {name}: key {options.key!r} is no field of {kind.__name__}")
        self.name = name
        self.kind = kind
        self.key = options.key
        self.mode: Mode = mode
        self.merge = options.merge
        self._codec = RowCodec(kind)

    async def put(self, row: T) -> None:
        """Write a row whole, whether or not one exists under its key."""
        if not isinstance(row, self.kind):
            raise TypeError(f"table {self.name} holds {self.kind.__name__}, not {type(row).__name__}")
        value = self._codec.encode(row)
        if len(value) > ROW_BYTES_MAX:
            raise RowTooLarge(f"a row of {self.name} has {len(value):,} bytes; at most {ROW_BYTES_MAX:,} fit")
        current_unit().put(self, self.key_of_row(row), value)

    def decode(self, data: bytes) -> T:
        """The row that a store keeps as these bytes."""
        return self._codec.decode(data)

    def key_of_row(self, row: T) -> str:
        """A row's key as stores hold it; Unprocessable where it cannot be one."""
        raise NotImplementedError

    def position(self, index: str, key: str, value: bytes) -> Position | None:
        """Where a row stands in the order of an index, or of keys where that is empty; None where it does not."""
        del index, value
        return ("", key)

    def _hint(self, field: str) -> Any:
        """The declared type of a field that the declaration names."""
        hints = get_type_hints(self.kind)
        if field not in hints:
            raise DeclarationError(f"table {self.name}: {field!r} is no field of {self.kind.__name__}")
        return hints[field]

    async def _get(self, key: str, default: Any, name: object) -> Any:
        data = await current_unit().get(self, key)
        if data is not None:
            return self._codec.decode(data)
        if default is _MISSING:
            raise NotFound(f"{self.name} has no row {name!r}")
        return default

    async def _page(self, span: Span, start: str | None) -> Page[T]:
        cursor = None if start is None else read_cursor(start, span)
        walked = walk(span, cursor)
        found, more = await current_unit().query(self, walked)
        next_page, previous = pages_beside(walked, cursor, [position for position, _ in found], more=more)
        if cursor and cursor.back:
            found.reverse()
        return Page([self._codec.decode(data) for _, data in found], next_page, previous)

    def _refusing(self, make: Callable[..., R], *values: Any) -> R:
        """What `make` makes of an author's or a client's values; Unprocessable where they cannot be a key."""
        try:
            return make(*values)
        except ValueError as error:
            raise Unprocessable(f"{self.name}: {error}") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.mode})>"


class Table(BaseTable[T]):
    """A declared table with one row under a key."""

    @overload
    async def get(self, key: KeyValue) -> T: ...
    @overload
    async def get(self, key: KeyValue, default: D) -> T | D: ...
    async def get(self, key: KeyValue, default: Any = _MISSING) -> Any:
        """The row under `key`.

        Raises:
            NotFound: there is none and no default was given.
        """
        return await self._get(self.key_of(key), default, key)

    async def delete(self, key: KeyValue) -> None:
        """Remove the row under `key`, if there is one."""
        current_unit().delete(self, self.key_of(key))

    def key_of(self, key: Any) -> str:
        """A key as stores hold it; Unprocessable where it cannot be one."""
        return self._refusing(key_text, key)

    def key_of_row(self, row: T) -> str:
        return self.key_of(getattr(row, self.key))


class SortedTable(BaseTable[T]):
    """A declared table with a row for each sort value under a key, in their order."""

    def __init__(self, name: str, kind: type[T], options: TableOptions) -> None:
        super().__init__(name, kind, options)
        self.sort = options.sort or ""
        hint = self._hint(self.sort)
        sort = None if optional(hint) else encoder(hint)
        if sort is None:
            raise DeclarationError(f"table {name}: rows cannot be sorted by {self.sort!r}, a {hint}; {SORTABLE}")
        self._form = KeyForm(key_text, sort)

    @overload
    async def get(self, key: KeyValue, sort: SortValue) -> T: ...
    @overload
    async def get(self, key: KeyValue, sort: SortValue, default: D) -> T | D: ...
    async def get(self, key: KeyValue, sort: SortValue, default: Any = _MISSING) -> Any:
        """The row under `key` with this sort value.

        Raises:
            NotFound: there is none and no default was given.
        """
        return await self._get(self.key_of(key, sort), default, (key, sort))

    async def delete(self, key: KeyValue, sort: SortValue) -> None:
        """Remove the row under `key` with this sort value, if there is one."""
        current_unit().delete(self, self.key_of(key, sort))

    async def query(
        self,
        key: KeyValue,
        *,
        after: SortValue | None = None,
        before: SortValue | None = None,
        reverse: bool = False,
        limit: int = LIMIT,
        start: str | None = None,
    ) -> Page[T]:
        """The rows under `key` whose sort value lies between `after` and `before` (both excluded), in their order.

        Each row returned is a read of this unit, checked again when it commits. That further rows appeared in the
        range meanwhile is not noticed. `start` is the cursor of a page of the same query: `next` or `previous`.

        Raises:
            Unprocessable: the limit is out of range, or the cursor belongs to another query.
        """
        first, last = self._refusing(self._form.bounds, key, after, before)
        span = Span(self.name, ("", first), ("", last), check_limit(limit), reverse=reverse)
        return await self._page(span, start)

    def key_of(self, key: Any, sort: Any) -> str:
        """A key as stores hold it; Unprocessable where it cannot be one."""
        return self._refusing(self._form.text, key, sort)

    def key_of_row(self, row: T) -> str:
        return self.key_of(getattr(row, self.key), getattr(row, self.sort))
