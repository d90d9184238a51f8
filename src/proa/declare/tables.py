"""Tables: typed rows under a key, and who may write them.

Modes: `any` every region writes, concurrent writes meet the merge policy; `home` the row's home region writes; `active`
only the active region writes; `strong` rows live in the global store. A `Table` holds one row under a key, a
`SortedTable` a row for each sort value under a key, to be queried in their order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack, get_args, get_type_hints, overload

import msgspec

from proa.core.replicate.journal import Write
from proa.core.replicate.resolve import Merge
from proa.declare.codec import RowCodec, field_names, json_schema
from proa.declare.context import current_unit
from proa.declare.keys import SEPARATOR, KeyForm, KeyValue, SortValue, encoder, key_text, optional
from proa.errors import AlreadyExists, ConditionFailed, DeclarationError, NotFound, RowTooLarge, Unprocessable
from proa.ports import Position, Schema, Span

if TYPE_CHECKING:
    from proa.declare.levels import Level
    from proa.declare.queries import Page
    from proa.declare.residency import Declared, Residency
    from proa.declare.streams import Handler, Stream
    from proa.declare.updates import Change

T = TypeVar("T")
D = TypeVar("D")
R = TypeVar("R")
Condition = Callable[[T], bool]
"""What a write may demand of the row as it is."""
Mode = Literal["any", "home", "active", "strong"]
MODES: tuple[Mode, ...] = get_args(Mode)
ROW_BYTES_MAX = 400_000
SORTABLE = "text, whole numbers, floats, booleans, dates and times have an order"
_MISSING: Any = object()


class TableOptions(msgspec.Struct, frozen=True):
    """How a table is declared, besides its name and the type of its rows.

    `home` is the field of a row of mode `home` that names its home, one of `regions`; without it the key decides.
    """

    key: str
    mode: Mode = "any"
    merge: Merge | None = None
    sort: str | None = None
    indexes: Mapping[str, str | tuple[str, str]] = {}
    expires: str | None = None
    residency: Declared | None = None
    home: str | None = None
    regions: tuple[str, ...] = ()


class QueryOptions(TypedDict, total=False):
    """Which of the rows are wanted, and which page of them.

    Rows come in the order of their sort value, the last ones first where `reverse`; `after` and `before` bound it, both
    excluded. `limit` (100) is how many a page has at most; `start` is a page's `next` or `previous`. `level` says
    how old they may be.

    Each row returned is a read of the unit, checked again when it commits. That further rows appeared in the range
    meanwhile is not noticed. An Unprocessable says which value makes no sense.
    """

    after: SortValue | None
    before: SortValue | None
    reverse: bool
    limit: int
    start: str | None
    level: Level | None


class StreamOptions(TypedDict, total=False):
    """How a change stream runs.

    `name` is what its position is kept under (the table's and handler's unless given). `start` is `now`, or
    `beginning`: the rows of which the journal has no commits any more, then the journal. Up to `batch` (100) changes
    share a commit, for which the handler has `timeout_s` (10).
    """

    name: str
    start: Literal["now", "beginning"]
    batch: int
    timeout_s: float


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
        if options.home is not None and mode != "home":
            raise DeclarationError(f"table {name}: `home={options.home!r}` fits mode `home` only, not `{mode}`")
        self.name = name
        self.kind = kind
        self.key = options.key
        self.mode: Mode = mode
        self._codec = RowCodec(kind)
        self.merge = self._policy(options.merge)
        self._indexes = {index: self._index(index, fields) for index, fields in options.indexes.items()}
        self.expires = self._expiring(options.expires)
        self._options = options
        self.residency = self._residency(options.residency)
        self.parts = self.residency.parts if self.residency else (name,)
        self.home = self._naming(options.home)
        self.streams: dict[str, Stream[T]] = {}

    def _policy(self, merge: Merge | None) -> Merge | None:
        if merge is None and "proa.core.replicate.crdt" not in sys.modules:
            return None  # the codec has read the type of every field, and none brought the types that merge with it
        from proa.core.replicate.merge import declared

        try:
            return declared(merge, self._codec)
        except ValueError as error:
            raise DeclarationError(f"table {self.name} of {self.kind.__name__}: {error}") from None

    def _residency(self, declared: Declared | None) -> Residency | None:
        if declared is None:
            return None
        from proa.declare.residency import Residency  # a function of tables that every region holds never needs it

        residency = Residency(self.name, declared)
        if residency.field and self.mode == "home":
            raise DeclarationError(
                f"table {self.name}: rows of mode `home` need one list of regions for all of them, not one by a field"
            )
        if residency.field and self._hint(residency.field) is not str:
            raise DeclarationError(f"table {self.name}: residency by {residency.field!r} needs a text field")
        return residency

    async def put(self, row: T, *, only_if: Callable[[T | None], bool] | None = None) -> None:
        """Write a row whole, whether or not one exists under its key.

        Raises:
            ConditionFailed: `only_if` said no of the row as it is (None: there is none).
        """
        write = self._written(row)
        if self.mode == "home":
            await self._claim(write.key, row)
        if only_if is not None and not only_if(await self._get(write.key, None, write.key)):
            raise ConditionFailed(f"{self.name} keeps the row{self._named(write.key)} as it is")
        if len(self.parts) > 1:
            await self._leave_others(write)
        current_unit().write(self, write)

    async def insert(self, row: T) -> None:
        """Write a row that is not there yet; AlreadyExists where one is."""
        write = self._written(row)
        if self.mode == "home":
            await self._claim(write.key, row)
        if await current_unit().get(self, write.key) is not None:
            raise AlreadyExists(f"{self.name} has a row{self._named(write.key)}")
        if len(self.parts) > 1:
            await self._leave_others(write)
        current_unit().write(self, write)

    async def replace(self, row: T) -> None:
        """Write a row over the one that is there; NotFound where none is."""
        write = self._written(row)
        if self.mode == "home":
            await self._claim(write.key, row)
        await self._get(write.key, _MISSING, write.key)
        if len(self.parts) > 1:
            await self._leave_others(write)
        current_unit().write(self, write)

    async def _leave_others(self, write: Write) -> None:
        """A row that stood in another part of the table leaves it in the commit that writes it to this one."""
        unit = current_unit()
        for part in await unit.standing(self, write.key):
            if part != write.table:
                unit.write(self, Write(part, write.key, None, self.mode))

    def _unfit(self, error: ValueError) -> Unprocessable:
        """What a client is told of a value that cannot be a key or an index's entry."""
        return Unprocessable(f"{self.name}: {'a value does not fit its field' if self.residency else error}")

    def _named(self, key: object, before: str = " ") -> str:
        """A row's key as messages tell of it: not at all where only some regions may hold it."""
        return "" if self.residency else f"{before}{key!r}"

    def _written(self, row: T) -> Write:
        """What a store is to write for a row, once it is checked."""
        if not isinstance(row, self.kind):
            raise TypeError(f"table {self.name} holds {self.kind.__name__}, not {type(row).__name__}")
        value = self._codec.encode(row)
        if len(value) > ROW_BYTES_MAX:
            raise RowTooLarge(f"a row of {self.name} has {len(value):,} bytes; at most {ROW_BYTES_MAX:,} fit")
        if self._indexes:
            self._refusing(self._entries_of, row)
        expires_at = self._expiry(row, self.expires) if self.expires else None
        part = self.residency.of(row) if self.residency else self.name
        return Write(part, self.key_of_row(row), value, self.mode, expires_at)

    async def _claim(self, key: str, row: T | None = None) -> bool:
        """Go on only in the row's home; False where nothing tells which that is. See `proa.declare.homes`."""
        from proa.declare.homes import claim  # a function without such tables never needs it

        return await claim(self, self._options.regions, key, row)

    def _naming(self, field: str | None) -> str | None:
        """The field that names a row's home, its type checked."""
        if field is not None and encoder(self._hint(field)) is not encoder(str):
            raise DeclarationError(f"table {self.name}: the home of rows cannot be in {field!r}, which holds no text")
        return field

    def _expiry(self, row: T, field: str) -> float | None:
        expires_at = getattr(row, field)
        if expires_at is None or -inf < expires_at < inf:
            return expires_at
        raise Unprocessable(f"{self.name}: a row expires at a number of seconds or never (None), not at {expires_at!r}")

    def _expiring(self, field: str | None) -> str | None:
        """The field with a row's expiry, its type checked."""
        if field is not None and not {*(get_args(hint := self._hint(field)) or (hint,))} <= {int, float, type(None)}:
            raise DeclarationError(
                f"table {self.name}: rows cannot expire at {field!r}; it holds no seconds since 1970"
            )
        return field

    @overload
    def changes(self, handler: Handler[T], /) -> Stream[T]: ...
    @overload
    def changes(self, /, **options: Unpack[StreamOptions]) -> Callable[[Handler[T]], Stream[T]]: ...
    def changes(
        self, handler: Handler[T] | None = None, /, **options: Unpack[StreamOptions]
    ) -> Stream[T] | Callable[[Handler[T]], Stream[T]]:
        """Declare a handler that is told of every change of this table. See `proa.declare.streams`."""
        from proa.declare.streams import declared  # few tables have one

        if handler is not None:
            return declared(self, handler, {})
        return lambda function: declared(self, function, options)

    def by(self, index: str) -> Index[T]:
        """The rows in the order of an index; KeyError where it is not declared."""
        if index not in self._indexes:
            raise KeyError(
                f"table {self.name} has no index {index!r}; declared are {', '.join(self._indexes) or 'none'}"
            )
        return Index(self, index)

    def decode(self, data: bytes) -> T:
        """The row that a store keeps as these bytes."""
        return self._codec.decode(data)

    @cached_property
    def schema(self) -> Schema:
        """What a store must know of this table."""
        options = self._options
        declared = [options.key, options.sort, sorted(options.indexes.items()), options.expires, json_schema(self.kind)]
        declared += [self.residency.sets, self.parts] if self.residency else []
        shape = sha256(msgspec.json.encode(declared)).hexdigest()
        return Schema(shape, tuple(self._indexes), self._entries)

    def key_of_row(self, row: T) -> str:
        """A row's key as stores hold it; Unprocessable where it cannot be one."""
        raise NotImplementedError

    def partition(self, key: str) -> str:
        """What of a row's key others may share with it: all of it, unless rows are sorted under a part of it."""
        return key

    def position(self, index: str, key: str, value: bytes) -> Position | None:
        """Where a row stands in the order of an index, or of keys where that is empty; None where it does not."""
        if not index:
            return ("", key)
        entry = self._entries(key, value).get(index)
        return None if entry is None else (entry, key)

    def _entries(self, key: str, data: bytes) -> Mapping[str, str]:
        """A row's entry in each index that finds it; ValueError where this is no row of the table."""
        try:
            row = self._codec.decode(data)
            expected = self.key_of_row(row)
        except Exception as error:
            raise ValueError(str(error)) from error
        if key != expected:
            raise ValueError(f"as declared now, its key would be {expected!r:.80}")
        return self._entries_of(row)

    def _entries_of(self, row: T) -> Mapping[str, str]:
        """The same of a row. It has none in an index of which a field is None."""
        entries: dict[str, str] = {}
        for index, (fields, form) in self._indexes.items():
            values = [getattr(row, field) for field in fields]
            if None not in values:
                entries[index] = form.text(*values)
        return entries

    def _index(self, index: str, declared: str | tuple[str, str]) -> tuple[tuple[str, ...], KeyForm]:
        """The fields of an index, and the form of its entries."""
        fields = (declared,) if isinstance(declared, str) else tuple(declared)
        encoders = [found for field in fields if (found := encoder(self._hint(field)))]
        if not index.isidentifier() or not 1 <= len(encoders) == len(fields) <= 2:
            raise DeclarationError(
                f"table {self.name}: index {index!r} of {', '.join(fields)} cannot be kept; an index has an identifier "
                f"for its name and one or two fields, and {SORTABLE}"
            )
        return fields, KeyForm(*encoders)

    async def query_index(self, index: str, value: Any, options: QueryOptions) -> Page[T]:
        """What `by(index).query` answers."""
        return await self._query(index, self._indexes[index][1], value, options)

    async def _query(self, index: str, form: KeyForm, value: Any, options: QueryOptions) -> Page[T]:
        from proa.declare.queries import LIMIT, check_limit  # a function that gets rows by their keys never needs them

        bounds = self._refusing(form.bounds, value, options.get("after"), options.get("before"))
        start, end = ((bound, "") if index else ("", bound) for bound in bounds)
        limit = check_limit(options.get("limit", LIMIT))
        span = Span(self.name, start, end, limit, index=index, reverse=options.get("reverse", False))
        return await self._page(span, options.get("start"), options.get("level"))

    def _hint(self, field: str) -> Any:
        """The declared type of a field that the declaration names."""
        hints = get_type_hints(self.kind)
        if field not in hints:
            raise DeclarationError(f"table {self.name}: {field!r} is no field of {self.kind.__name__}")
        return hints[field]

    async def _get(self, key: str, default: Any, name: object, level: Level | None = None) -> Any:
        data = await current_unit().get(self, key, level)
        if data is not None:
            return self._codec.decode(data)
        if default is _MISSING:
            raise NotFound(f"{self.name} has no row{self._named(name)}")
        return default

    async def _get_many(self, keys: Sequence[str], level: Level | None) -> list[T | None]:
        found = await current_unit().get_many(self, keys, level)
        return [None if data is None else self._codec.decode(data) for data in found]

    async def _update(self, key: str, changes: tuple[Change, ...], only_if: Condition[T] | None, name: object) -> T:
        from proa.declare.updates import changed  # a function that puts rows whole never needs it

        if self.mode == "home":
            await self._claim(key)
        row = changed(await self._met(key, only_if, name), changes)
        write = self._written(row)
        if write.key != key:
            raise TypeError(
                f"an update of {self.name} would make another row{self._named(name, ' of ')}; put that and delete this"
            )
        if self.home:
            await self._claim(key, row)
        if len(self.parts) > 1:
            await self._leave_others(write)
        current_unit().write(self, write)
        return row

    async def _delete(self, key: str, only_if: Condition[T] | None, name: object) -> None:
        if self.mode == "home" and not await self._claim(key) and only_if is None:
            return  # there is no such row, and so no region to say so
        if only_if is not None:
            await self._met(key, only_if, name)
        unit = current_unit()
        for part in self.parts if len(self.parts) == 1 else await unit.standing(self, key):
            unit.write(self, Write(part, key, None, self.mode))

    async def _met(self, key: str, only_if: Condition[T] | None, name: object) -> T:
        """The row, which is there and meets the condition."""
        row = await self._get(key, _MISSING, name)
        if only_if is not None and not only_if(row):
            raise ConditionFailed(f"{self.name} keeps the row{self._named(name)} as it is")
        return row

    async def _page(self, span: Span, start: str | None, level: Level | None) -> Page[T]:
        from proa.declare.queries import Page, pages_beside, read_cursor, walk  # see `_query`

        cursor = None if start is None else read_cursor(start, span)
        walked = walk(span, cursor)
        found, more = await current_unit().query(self, walked, level)
        next_page, previous = pages_beside(walked, cursor, [position for position, _ in found], more=more)
        if cursor and cursor.back:
            found.reverse()
        return Page([self._codec.decode(data) for _, data in found], next_page, previous)

    def _refusing(self, make: Callable[..., R], *values: Any) -> R:
        """What `make` makes of an author's or a client's values; Unprocessable where they cannot be a key."""
        try:
            return make(*values)
        except ValueError as error:
            raise self._unfit(error) from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.mode})>"


class Table(BaseTable[T]):
    """A declared table with one row under a key."""

    @overload
    async def get(self, key: KeyValue, *, level: Level | None = None) -> T: ...
    @overload
    async def get(self, key: KeyValue, default: D, *, level: Level | None = None) -> T | D: ...
    async def get(self, key: KeyValue, default: Any = _MISSING, *, level: Level | None = None) -> Any:
        """The row under `key`, as old as `level` allows.

        Raises:
            NotFound: there is none and no default was given.
            StaleRead: this region has it no newer than the level allows, and could not learn more in time.
        """
        return await self._get(self.key_of(key), default, key, level)

    async def get_many(self, keys: Iterable[KeyValue], *, level: Level | None = None) -> list[T | None]:
        """The rows under these keys, None for those that are not there.

        One call of the store, all of one moment; rows of a `strong` table at level `bounded` may be of several.
        """
        return await self._get_many([self.key_of(key) for key in keys], level)

    async def update(self, key: KeyValue, *changes: Change, only_if: Condition[T] | None = None) -> T:
        """Change fields of the row under `key`: `update("a", add(left=-1))`. Returns the row as it is then.

        Raises:
            NotFound: there is none.
            ConditionFailed: `only_if` said no of the row as it is.
        """
        return await self._update(self.key_of(key), changes, only_if, key)

    async def delete(self, key: KeyValue, *, only_if: Condition[T] | None = None) -> None:
        """Remove the row under `key`, if there is one.

        Raises:
            NotFound: there is none, and a condition.
            ConditionFailed: `only_if` said no of the row as it is.
        """
        await self._delete(self.key_of(key), only_if, key)

    def key_of(self, key: Any) -> str:
        """A key as stores hold it; Unprocessable where it cannot be one."""
        try:
            return key_text(key)
        except ValueError as error:
            raise self._unfit(error) from None

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

    def partition(self, key: str) -> str:
        return key.partition(SEPARATOR)[0]

    @overload
    async def get(self, key: KeyValue, sort: SortValue, *, level: Level | None = None) -> T: ...
    @overload
    async def get(self, key: KeyValue, sort: SortValue, default: D, *, level: Level | None = None) -> T | D: ...
    async def get(self, key: KeyValue, sort: SortValue, default: Any = _MISSING, *, level: Level | None = None) -> Any:
        """The row under `key` with this sort value. See `Table.get`."""
        return await self._get(self.key_of(key, sort), default, (key, sort), level)

    async def get_many(
        self, keys: Iterable[tuple[KeyValue, SortValue]], *, level: Level | None = None
    ) -> list[T | None]:
        """The rows under these keys, None for those that are not there. See `Table.get_many`."""
        return await self._get_many([self.key_of(*key) for key in keys], level)

    async def update(self, key: KeyValue, sort: SortValue, *changes: Change, only_if: Condition[T] | None = None) -> T:
        """Change fields of the row under `key` with this sort value. See `Table.update`."""
        return await self._update(self.key_of(key, sort), changes, only_if, (key, sort))

    async def delete(self, key: KeyValue, sort: SortValue, *, only_if: Condition[T] | None = None) -> None:
        """Remove the row under `key` with this sort value, if there is one. See `Table.delete`."""
        await self._delete(self.key_of(key, sort), only_if, (key, sort))

    async def query(self, key: KeyValue, **options: Unpack[QueryOptions]) -> Page[T]:
        """The rows under `key` in the order of their sort value. See `QueryOptions`."""
        return await self._query("", self._form, key, options)

    def key_of(self, key: Any, sort: Any) -> str:
        """A key as stores hold it; Unprocessable where it cannot be one."""
        return self._refusing(self._form.text, key, sort)

    def key_of_row(self, row: T) -> str:
        return self.key_of(getattr(row, self.key), getattr(row, self.sort))


class Index(Generic[T]):
    """A table's rows as an index finds them: by one field, in the order of another one or of their keys."""

    def __init__(self, table: BaseTable[T], index: str) -> None:
        self._table = table
        self._index = index

    async def query(self, value: SortValue, **options: Unpack[QueryOptions]) -> Page[T]:
        """The rows whose indexed field is `value`. See `QueryOptions`."""
        return await self._table.query_index(self._index, value, options)
