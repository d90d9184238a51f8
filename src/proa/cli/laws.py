"""The laws of a merge, tried on many generated rows: commutative, associative, idempotent.

Replicas apply the same commits in different orders; only a merge that obeys all three ends with the same row on each.
The rows are generated from the table's type with a fixed seed, so that a finding can be repeated.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from msgspec import inspect

from proa.core.replicate.journal import Row
from proa.core.replicate.merge import Merge
from proa.core.time import stamp_of
from proa.declare.codec import RowCodec, is_pydantic
from proa.declare.tables import BaseTable

TRIALS = 300
_WORDS = ("", "a", "b", "proa", "ü", "0")
_SEED = 20_261_121


def broken_law(table: BaseTable[Any]) -> str | None:
    """The first law that the table's merge breaks, with the rows that show it; None where it holds on all trials."""
    if table.merge is None:
        return None
    rng = Random(_SEED)  # noqa: S311 - trials that can be repeated, never a secret
    for _ in range(TRIALS):
        rows = [_row(table, rng, number) for number in range(3)]
        if broken := _tried(table.merge, rows):
            return broken
    return None


def _tried(merge: Merge, rows: list[Row]) -> str | None:
    a, b, c = rows
    try:
        if not _same(merge.combine(a, a), a):
            return f"idempotent: merging {_shown(a)} with itself changes it"
        if not _same(merge.combine(a, b), merge.combine(b, a)):
            return f"commutative: the order of {_shown(a)} and {_shown(b)} matters"
        if not _same(merge.combine(merge.combine(a, b), c), merge.combine(a, merge.combine(b, c))):
            return f"associative: the grouping of {_shown(a)}, {_shown(b)} and {_shown(c)} matters"
    except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is a finding
        return f"total: it raised {type(error).__name__}: {error} on {_shown(a)}, {_shown(b)}, {_shown(c)}"
    return None


def _same(one: Row, other: Row) -> bool:
    return (one.value, one.expires_at) == (other.value, other.expires_at)


def _shown(row: Row) -> str:
    return "a deleted row" if row.value is None else repr(msgspec.msgpack.decode(row.value))


def _row(table: BaseTable[Any], rng: Random, number: int) -> Row:
    """A row of one of three origins; stamps collide often, since ties are where merges go wrong."""
    value = None if rng.random() < 0.1 else _value(table, rng)
    origin = f"region-{number}/{rng.randint(1, 2)}"
    seq = rng.randint(1, 5)
    return Row(table.name, "k", value, stamp_of(rng.randint(1, 3)), origin, seq, {origin: seq}, 1)


def _value(table: BaseTable[Any], rng: Random) -> bytes | None:
    """An encoded row that the table's type accepts; None (a deletion) where twenty guesses meet no constraint."""
    if is_pydantic(table.kind):
        return None
    codec = RowCodec(table.kind)
    for _ in range(20):
        data = msgspec.msgpack.encode(_guess(inspect.type_info(table.kind), rng))
        try:
            return codec.encode(codec.decode(data))
        except msgspec.ValidationError:
            continue
    return None


def _guess(kind: inspect.Type, rng: Random) -> Any:  # noqa: PLR0911 - one line for each kind of type
    match kind:
        case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
            return {field.encode_name: _guess(field.type, rng) for field in kind.fields}
        case inspect.IntType():
            return rng.choice((0, 1, 2, -1, rng.randint(-(10**6), 10**6)))
        case inspect.FloatType():
            return rng.choice((0.0, 1.5, rng.uniform(-1e6, 1e6)))
        case inspect.BoolType():
            return rng.random() < 0.5
        case inspect.StrType():
            return rng.choice(_WORDS)
        case inspect.ListType() | inspect.SetType() | inspect.VarTupleType() | inspect.FrozenSetType():
            return [_guess(kind.item_type, rng) for _ in range(rng.randint(0, 3))]
        case inspect.DictType():
            return {_guess(kind.key_type, rng): _guess(kind.value_type, rng) for _ in range(rng.randint(0, 3))}
        case inspect.UnionType():
            return _guess(rng.choice(kind.types), rng)
        case inspect.LiteralType() | inspect.EnumType():
            return rng.choice(_choices(kind))
        case _:
            return None


def _choices(kind: inspect.LiteralType | inspect.EnumType) -> tuple[Any, ...]:
    return kind.values if isinstance(kind, inspect.LiteralType) else tuple(member.value for member in kind.cls)
