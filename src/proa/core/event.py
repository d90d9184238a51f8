"""Events: which of them a subscription wants, and whether old ones can still be read.

A filter is data: fields, and what is wanted of each. It is asked where the event is emitted, so what nobody wants is
written nowhere. A schema may change as long as what was written before can be read as what is declared now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, cast

import msgspec

from proa.core.queue import SEPARATOR, digits
from proa.errors import DeclarationError

EVENTS = ":events"
"""The table of events that can be replayed. No declared table can have such a name."""
SCHEMAS = ":schemas"
"""The table of what events looked like that may still be around. Key: an event's name."""
REPLAYS = ":replays"
"""The table of how far each replay has come. Key: the replay's id."""
MISSING = object()


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """An event as it was emitted, kept for replays."""

    id: str
    body: bytes
    at: float
    region: str
    unit: str
    about: dict[str, str]
    trace: str = ""


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What an event looked like when a region last started: its version, and its JSON schema."""

    version: int
    schema: dict[str, Any]


def log_key(event: str, at_ms: int, id_: str = "") -> str:
    """Where an event is kept: in the order in which they were emitted."""
    return SEPARATOR.join((event, digits(at_ms), id_))


# Filters.


class Equals(msgspec.Struct, frozen=True):
    """It is one of these."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        return any(value == wanted and isinstance(value, bool) == isinstance(wanted, bool) for wanted in self.values)


class AnythingBut(msgspec.Struct, frozen=True):
    """It is there, and none of these."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        return value is not MISSING and not Equals(self.values).holds(value)


class Prefix(msgspec.Struct, frozen=True):
    """It is a text that begins so."""

    text: str

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and value.startswith(self.text)


class Exists(msgspec.Struct, frozen=True):
    """It is there and not None, or else it is not."""

    there: bool

    def holds(self, value: Any) -> bool:
        return (value is not MISSING and value is not None) == self.there


class Between(msgspec.Struct, frozen=True):
    """It is a number within bounds: `from` and `to` are within, `above` and `below` are not."""

    from_: float | None = None
    above: float | None = None
    to: float | None = None
    below: float | None = None

    def holds(self, value: Any) -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (self.from_ is None or value >= self.from_)
            and (self.above is None or value > self.above)
            and (self.to is None or value <= self.to)
            and (self.below is None or value < self.below)
        )


Test = Equals | AnythingBut | Prefix | Exists | Between


class Rule(msgspec.Struct, frozen=True):
    """What is wanted of a field: that one of these tests holds."""

    path: tuple[str, ...]
    tests: tuple[Test, ...]

    def holds(self, body: Any) -> bool:
        """Whether an event's body has it."""
        value = found(body, self.path)
        return any(test.holds(value) for test in self.tests)


Filter = tuple[Rule, ...]


def passes(rules: Filter, body: Any) -> bool:
    """Whether a body has all that is wanted of its fields."""
    return all(rule.holds(body) for rule in rules)


def found(body: Any, path: Sequence[str]) -> Any:
    """The value of a field, that of a field of it, and so on; MISSING where there is none."""
    for name in path:
        body = cast("Mapping[str, Any]", body).get(name, MISSING) if isinstance(body, Mapping) else _field(body, name)
    return body.value if isinstance(body, Enum) else body


def _field(value: Any, name: str) -> Any:
    return MISSING if value is MISSING else getattr(value, name, MISSING)


def filter_of(wanted: Mapping[str, Any]) -> Filter:
    """A filter as it was declared: fields (`address.country` is a field of a field), and what is wanted of each.

    Raises:
        DeclarationError: it is none.
    """
    return tuple(Rule(tuple(field.split(".")), tuple(_tests(field, value))) for field, value in wanted.items())


def _tests(field: str, wanted: Any) -> Iterator[Test]:
    if isinstance(wanted, list | tuple | set | frozenset):
        for one in cast("Iterable[Any]", wanted):
            yield from _tests(field, one)
    elif isinstance(wanted, Mapping):
        yield _test(field, cast("Mapping[str, Any]", wanted))
    elif wanted is None or isinstance(wanted, str | int | float):
        yield Equals((wanted,))
    else:
        raise DeclarationError(f"filter of {field}: {wanted!r} is no text, number, bool, None, list or dict of a test")


def _test(field: str, wanted: Mapping[str, Any]) -> Test:
    match dict(wanted):
        case {"prefix": str(text), **rest} if not rest:
            return Prefix(text)
        case {"exists": bool(there), **rest} if not rest:
            return Exists(there)
        case {"anything_but": values, **rest} if not rest:
            several = isinstance(values, list | tuple | set | frozenset)
            return AnythingBut(tuple(cast("Iterable[Any]", values)) if several else (values,))
        case bounds if bounds and bounds.keys() <= {"from", "above", "to", "below"}:
            return _between(field, bounds)
        case other:
            raise DeclarationError(
                f"filter of {field}: {other!r} is no test; there are prefix, exists, anything_but, and from, above, "
                "to and below"
            )


def _between(field: str, bounds: Mapping[str, Any]) -> Between:
    if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in bounds.values()):
        raise DeclarationError(f"filter of {field}: {dict(bounds)!r} are no numbers")
    return Between(bounds.get("from"), bounds.get("above"), bounds.get("to"), bounds.get("below"))


# Schemas.


def unreadable(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Why what was written as one JSON schema says cannot be read as another one says; nothing: it can."""
    return list(_unreadable(before, now, before, now, "", frozenset()))


def _unreadable(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    where: str,
    seen: frozenset[tuple[str, str]],
) -> Iterator[str]:
    pair = (str(before.get("$ref", "")), str(now.get("$ref", "")))
    if all(pair) and pair in seen:
        return
    before, now, seen = _resolved(before, old), _resolved(now, new), seen | {pair}
    if "properties" in before and "properties" in now:
        fields = cast("Mapping[str, Any]", before["properties"])
        for name in now.get("required", ()):
            if name not in fields:
                yield f"`{where}{name}` is required, and was not there before"
        for name, field in cast("Mapping[str, Any]", now["properties"]).items():
            if name in fields:
                yield from _unreadable(fields[name], field, old, new, f"{where}{name}.", seen)
    elif "items" in before and "items" in now:
        yield from _unreadable(before["items"], now["items"], old, new, f"{where}[].", seen)
    elif missing := sorted(_kinds(before, old) - _kinds(now, new) if _kinds(now, new) else ()):
        yield f"`{where.rstrip('.')}` was {' or '.join(missing)}, and is {' or '.join(sorted(_kinds(now, new)))}"


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _kinds(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    """The kinds of values that a schema allows; none: any. A number may be an integer; of an enum each value counts."""
    schema = _resolved(schema, document)
    if "anyOf" in schema:
        return {kind for one in schema["anyOf"] for kind in _kinds(one, document)}
    if "enum" in schema:
        return {repr(value) for value in schema["enum"]}
    kind = schema.get("type", [])
    kinds = {kind} if isinstance(kind, str) else set(cast("Iterable[str]", kind))
    return kinds | {"integer"} if "number" in kinds else kinds
