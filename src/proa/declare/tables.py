"""Tables: typed rows under a key, and who may write them.

Modes: `any` every region writes, concurrent writes meet the merge policy; `active` only the active region writes;
`strong` rows live in the global store.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar, overload

from proa.core.replicate.merge import Merge
from proa.declare.codec import RowCodec, field_names
from proa.declare.context import current_unit
from proa.errors import DeclarationError, NotFound, RowTooLarge, Unprocessable

T = TypeVar("T")
D = TypeVar("D")
Mode = Literal["any", "active", "strong"]
MODES = ("any", "active", "strong")
ROW_BYTES_MAX = 400_000
KEY_LENGTH_MAX = 512
_MISSING: Any = object()


class Table(Generic[T]):
    """A declared table. Its methods work inside a handler and are part of that handler's unit of work."""

    def __init__(self, name: str, kind: type[T], *, key: str, mode: Mode, merge: Merge | None) -> None:
        if not name.isidentifier():
            raise DeclarationError(f"table name {name!r} must be an identifier (letters, digits, underscore)")
        if mode not in MODES:
            raise DeclarationError(f"table {name}: mode {mode!r} is none of {', '.join(MODES)}")
        if merge is not None and mode != "any":
            raise DeclarationError(f"table {name}: a merge policy fits mode `any` only; `{mode}` rows never conflict")
        names = field_names(kind)
        if names is not None and key not in names:
            raise DeclarationError(f"table {name}: key {key!r} is no field of {kind.__name__}")
        self.name = name
        self.kind = kind
        self.key = key
        self.mode: Mode = mode
        self.merge = merge
        self._codec = RowCodec(kind)

    @overload
    async def get(self, key: str | int) -> T: ...
    @overload
    async def get(self, key: str | int, default: D) -> T | D: ...
    async def get(self, key: str | int, default: Any = _MISSING) -> Any:
        """The row under `key`.

        Raises:
            NotFound: there is none and no default was given.
        """
        data = await current_unit().get(self, self.key_of(key))
        if data is not None:
            return self._codec.decode(data)
        if default is _MISSING:
            raise NotFound(f"{self.name} has no row {key!r}")
        return default

    async def put(self, row: T) -> None:
        """Write a row whole, whether or not one exists under its key."""
        if not isinstance(row, self.kind):
            raise TypeError(f"table {self.name} holds {self.kind.__name__}, not {type(row).__name__}")
        value = self._codec.encode(row)
        if len(value) > ROW_BYTES_MAX:
            raise RowTooLarge(f"a row of {self.name} has {len(value):,} bytes; at most {ROW_BYTES_MAX:,} fit")
        current_unit().put(self, self.key_of(getattr(row, self.key)), value)

    async def delete(self, key: str | int) -> None:
        """Remove the row under `key`, if there is one."""
        current_unit().delete(self, self.key_of(key))

    def decode(self, data: bytes) -> T:
        """The row that a store keeps as these bytes."""
        return self._codec.decode(data)

    def key_of(self, key: Any) -> str:
        """A key as stores hold it; Unprocessable where it cannot be one."""
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH_MAX or "\0" in key:
            raise Unprocessable(
                f"{self.name}: a key is a whole number or a text of 1 to {KEY_LENGTH_MAX} characters, not {key!r:.80}"
            )
        return key

    def __repr__(self) -> str:
        return f"<Table {self.name} ({self.mode})>"
