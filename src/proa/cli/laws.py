"""The laws of a merge, tried on many generated rows: commutative, associative, idempotent.

Replicas apply the same commits in different orders; only a merge that obeys all three ends with the same row on each.
A function is tried on what it is given, rows or values of a field; any other policy on rows with their stamps. They are
generated from the table's type with a fixed seed, so that a finding can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import msgspec
from msgspec import inspect

from proa.app import App
from proa.core.replicate.journal import Row
from proa.core.replicate.merge import Fields, Function, Join
from proa.core.time import stamp_of
from proa.declare.codec import RowCodec, is_pydantic
from proa.declare.tables import BaseTable

TRIALS = 300
_WORDS = ("", "a", "b", "proa", "ü", "0")
_SEED = 20_261_121
_TEXTS: dict[type[inspect.Type], tuple[str, ...]] = {
    inspect.DateTimeType: ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "1999-12-31T23:59:59Z"),
    inspect.DateType: ("2026-01-01", "2026-01-02", "1999-12-31"),
    inspect.DecimalType: ("0", "1.5", "-2.25"),
    inspect.UUIDType: tuple(f"00000000-0000-0000-0000-00000000000{digit}" for digit in range(3)),
}
"""Values that are texts in JSON."""
UNTRIED = "untried"
"""Instead of a law: nothing could be generated to try it on."""


class Judged(msgspec.Struct, frozen=True):
    """Tables whose merge breaks a law, and how; tables for which no rows could be generated."""

    broken: dict[str, str]
    untried: tuple[str, ...]


@cache
def judged(app: App) -> Judged:
    """What trying the merge of every table of `app` showed."""
    found = {name: broken_law(table) for name, table in app.tables.items() if table.mode == "any"}
    broken = {name: law for name, law in found.items() if law and law != UNTRIED}
    return Judged(broken, tuple(name for name, law in found.items() if law == UNTRIED))


def broken_law(table: BaseTable[Any]) -> str | None:
    """The first law that the table's merge breaks, with the rows that show it; None where it holds on all trials.

    UNTRIED where no rows could be generated.
    """
    match table.merge:
        case None:
            return None
        case Function(join=join):
            return _broken(_on_rows(join, table), lambda rng, _: _value(table, rng), _shown)
        case Fields(joins=joins, hints=hints):
            laws = {name: _broken_field(join, hints[name]) for name, join in joins.items()}
            broken = (f"{law} (field {name})" for name, law in laws.items() if law and law != UNTRIED)
            return next(broken, UNTRIED if UNTRIED in laws.values() else None)
        case merge:
            return _broken(merge.combine, lambda rng, number: _row(table, rng, number), _shown_row, _content)


def _broken_field(join: Join, hint: Any) -> str | None:
    kind = inspect.type_info(hint)
    return _broken(_on_values(join, hint), lambda rng, _: _guess(kind, rng), repr)


def _broken(
    join: Join,
    generate: Callable[[Random, int], Any],
    shown: Callable[[Any], str],
    content: Callable[[Any], object] = lambda value: value,
) -> str | None:
    """The first law that a join breaks on generated values; `content` is what of two values must be equal."""
    rng = Random(_SEED)  # noqa: S311 - trials that can be repeated, never a secret
    tried = False
    for _ in range(TRIALS):
        trio = [generate(rng, number) for number in range(3)]
        if None in trio:
            continue
        tried = True
        try:
            broken = _law_broken_by(join, trio, shown, content)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is a finding
            broken = f"total: it raised {type(error).__name__}: {error} on {', '.join(map(shown, trio))}"
        if broken:
            return broken
    return None if tried else UNTRIED


def _law_broken_by(
    join: Join, trio: list[Any], shown: Callable[[Any], str], content: Callable[[Any], object]
) -> str | None:
    a, b, c = trio
    if content(join(a, a)) != content(a):
        return f"idempotent: merging {shown(a)} with itself changes it"
    if content(join(a, b)) != content(join(b, a)):
        return f"commutative: the order of {shown(a)} and {shown(b)} matters"
    if content(join(join(a, b), c)) != content(join(a, join(b, c))):
        return f"associative: the grouping of {shown(a)}, {shown(b)} and {shown(c)} matters"
    return None


def _on_rows(join: Join, table: BaseTable[Any]) -> Join:
    """A function of rows as one of their bytes, so that it gets rows of its own each time."""
    codec = RowCodec(table.kind)
    return lambda one, other: codec.encode(join(codec.decode(one), codec.decode(other)))


def _on_values(join: Join, hint: Any) -> Join:
    """A function of a field's values as one of their plain form."""
    return lambda one, other: msgspec.to_builtins(join(msgspec.convert(one, hint), msgspec.convert(other, hint)))


def _content(row: Row) -> object:
    return (row.value, row.expires_at)


def _shown_row(row: Row) -> str:
    return "a deleted row" if row.value is None else _shown(row.value)


def _shown(value: bytes) -> str:
    return repr(msgspec.msgpack.decode(value))


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
            low, high = kind.ge if kind.ge is not None else -(10**6), kind.le if kind.le is not None else 10**6
            return rng.choice((0, 1, 2, -1, rng.randint(low, max(low, high))))
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
            return rng.choice(_TEXTS.get(type(kind), (None,)))


def _choices(kind: inspect.LiteralType | inspect.EnumType) -> tuple[Any, ...]:
    return kind.values if isinstance(kind, inspect.LiteralType) else tuple(member.value for member in kind.cls)
