"""Merge policies: what authors say of rows that regions wrote concurrently. `resolve` says when a policy is asked.

`last_writer` chooses one of the rows; `function` and `fields` make a value of all concurrent writes, which they keep
beside it (see `siblings`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

import msgspec

from proa.core.replicate.crdt import (
    AddWinsSet,
    Counter,
    Entry,
    Field,
    GrowCounter,
    MultiValue,
    Register,
    State,
    field_type,
    read_fields,
    write_fields,
)
from proa.core.replicate.journal import Row
from proa.core.replicate.resolve import LastWriter, Merge, Rule, order, resolve, verdict
from proa.core.replicate.siblings import Sibling, combined

__all__ = [  # noqa: RUF022 - grouped
    # Policies
    "last_writer",
    "function",
    "fields",
    "LastWriter",
    "Function",
    "Fields",
    "Merge",
    # Types of fields that merge by themselves
    "AddWinsSet",
    "Counter",
    "GrowCounter",
    "MultiValue",
    "Register",
    # What declarations and stores ask
    "Rule",
    "declared",
    "order",
    "resolve",
    "verdict",
]
T = TypeVar("T")
Join = Callable[[Any, Any], Any]


class Codec(Protocol):
    """Rows of a table to and from the bytes that stores keep."""

    kind: Any

    def encode(self, row: Any, /) -> bytes: ...
    def decode(self, data: bytes, /) -> Any: ...


class Function(msgspec.Struct, frozen=True):
    """An author's function of two rows."""

    join: Join
    codec: Codec | None = None

    @property
    def name(self) -> str:
        return getattr(self.join, "__name__", "function")

    def bound(self, codec: Codec) -> Function:
        """The policy for rows of one type."""
        return Function(self.join, codec)

    def combine(self, ours: Row, theirs: Row) -> Row:
        return combined(ours, theirs, self._project)

    def _project(self, siblings: Sequence[Sibling]) -> tuple[bytes, str | None]:
        assert self.codec, "a policy is bound when its table is declared"
        try:
            return self.codec.encode(reduce(self.join, [self.codec.decode(one.value) for one in siblings])), None
        except Exception as error:  # noqa: BLE001 - the author's code; a replica must go on whatever it raises
            return siblings[-1].value, type(error).__name__


class Fields(msgspec.Struct, frozen=True):
    """Each field by its own rule: its type's, or the function given for its name. The others are the last writer's."""

    joins: Mapping[str, Join]
    types: Mapping[str, type[Field]] = {}
    hints: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        return "fields"

    def bound(self, codec: Codec) -> Fields:
        """The policy for rows of one type; ValueError where they have no such fields."""
        hints = _hints(codec.kind)
        if unknown := sorted(self.joins.keys() - hints.keys()):
            raise ValueError(f"it has no field {', '.join(unknown)}")
        types = {name: found for name, hint in hints.items() if (found := field_type(hint))}
        if both := sorted(self.joins.keys() & types.keys()):
            raise ValueError(f"{', '.join(both)} merges by its type; it needs no function")
        return Fields(self.joins, types, hints)

    def combine(self, ours: Row, theirs: Row) -> Row:
        return combined(ours, theirs, self._project)

    def committed(self, value: bytes, origin: str, seq: int, stamp: int) -> bytes:
        """A row that a unit wrote, its changes under the dot of the unit's commit."""
        row, dot = read_fields(value), Entry(origin, seq, stamp)
        for field in row.values():
            if isinstance(field, Field):
                field.entries = field.committed(field.entries, dot)
        return write_fields(row)

    def _project(self, siblings: Sequence[Sibling]) -> tuple[bytes, str | None]:
        rows = [read_fields(one.value) for one in siblings]
        merged, error = dict(rows[-1]), None
        for name, kind in self.types.items():
            states = [
                State(row[name].entries, one.versions) for row, one in zip(rows, siblings, strict=True) if name in row
            ]
            if states:
                merged[name] = kind.of(kind.joined(states))
        for name, function in self.joins.items():
            try:
                merged[name] = self._fold(name, function, [row[name] for row in rows if name in row])
            except Exception as failure:  # noqa: BLE001 - the author's code; a replica must go on whatever it raises
                error = type(failure).__name__
        return write_fields(merged), error

    def _fold(self, name: str, function: Join, values: Sequence[Any]) -> Any:
        typed = [msgspec.convert(value, self.hints[name]) for value in values]
        return msgspec.to_builtins(reduce(function, typed), builtin_types=(bytes,))


def _hints(kind: Any) -> dict[str, Any]:
    """The annotations of a model's fields, by the names that they have in bytes."""
    inside, encoded = getattr(kind, "__struct_fields__", ()), getattr(kind, "__struct_encode_fields__", ())
    names: dict[str, str] = dict(zip(inside, encoded, strict=True))
    return {names.get(name, name): hint for name, hint in get_type_hints(kind).items()}


def last_writer() -> LastWriter:
    """The policy of tables in which the latest write may replace a concurrent one (both go to the conflict log)."""
    return LastWriter()


def function(join: Callable[[T, T], T]) -> Function:
    """The policy of tables whose rows the author's function makes one of: `join(one, other)`, of the table's type.

    It is called for rows that were written concurrently, the earlier one first, and must be commutative, associative
    and idempotent; `proa check` tries it. Where it raises, the last writer's row is shown and the conflict log says so.
    """
    return Function(join)


def fields(**joins: Callable[[Any, Any], Any]) -> Fields:
    """The policy of tables whose fields merge each by itself.

    Fields of the types `Counter`, `GrowCounter`, `AddWinsSet`, `MultiValue` and `Register` know how. A function given
    for a plain field makes one of two values, such as `best=max`; like that of `function`, it must obey the three laws.
    Every other field is taken from the row written last.
    """
    return Fields(joins)


def declared(policy: Merge | None, codec: Codec) -> Merge | None:
    """The policy of a table of this type.

    Raises:
        ValueError: the type and the policy do not fit each other.
    """
    merging = sorted(name for name, hint in _hints(codec.kind).items() if _mentions_field(hint))
    if isinstance(policy, Fields):
        if nested := sorted(set(merging) - policy.bound(codec).types.keys()):
            raise ValueError(
                f"{', '.join(nested)} holds a merging field inside another type; only a field itself merges"
            )
    elif merging:
        raise ValueError(f"{', '.join(merging)} merges by its type, which needs merge=merge.fields()")
    return policy.bound(codec) if isinstance(policy, Fields | Function) else policy


def _mentions_field(hint: Any) -> bool:
    return field_type(hint) is not None or any(_mentions_field(argument) for argument in get_args(hint))
