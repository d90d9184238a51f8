"""Changes of one row's fields, said as values: `update(key, add(left=-1), append(tags="x"))`.

A change is a function of the row as the unit read it. The commit checks that the row is still that one, and the handler
runs again where it is not; so nothing that another unit did is lost, in any store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from proa.declare.codec import is_pydantic

T = TypeVar("T")
Fields = dict[str, Any]


class Change(msgspec.Struct, frozen=True):
    """New values for some fields of a row: each by `rule`, from the row, the field's name and the argument for it."""

    rule: Callable[[Any, str, Any], Any]
    arguments: Fields

    def values(self, row: Any) -> Fields:
        """The fields that change, with their new values."""
        return {field: self.rule(row, field, argument) for field, argument in self.arguments.items()}


def assign(**values: Any) -> Change:
    """Set fields to these values."""
    return Change(lambda _, __, value: value, values)


def add(**amounts: Any) -> Change:
    """Add these amounts to fields that hold numbers (or durations)."""
    return Change(lambda row, field, amount: getattr(row, field) + amount, amounts)


def append(**items: Any) -> Change:
    """Put one more item behind those of a list or tuple, or into a set."""
    return Change(lambda row, field, item: _with(getattr(row, field), item), items)


def remove(*fields: str) -> Change:
    """Set fields back to their defaults; TypeError where one has none."""
    return Change(lambda row, field, _: _default(type(row), field), dict.fromkeys(fields))


def changed(row: T, changes: tuple[Change, ...]) -> T:
    """A copy of `row` with all changes made, one after another; TypeError where a field is not known."""
    for change in changes:
        row = _replaced(row, change.values(row))
    return row


def _with(items: Any, item: Any) -> Any:
    match items:
        case list():
            return [*cast("list[Any]", items), item]
        case tuple():
            return (*cast("tuple[Any, ...]", items), item)
        case _:
            return items | {item}


def _replaced(row: Any, values: Fields) -> Any:
    kind = cast("Any", type(row))
    if is_pydantic(kind):
        _refuse_unknown(kind, values)
        return kind.model_validate(row.model_dump() | values)
    if isinstance(row, msgspec.Struct):
        return msgspec.structs.replace(row, **values)
    return dataclasses.replace(row, **values)


def _refuse_unknown(model: Any, values: Fields) -> None:
    if unknown := values.keys() - model.model_fields.keys():
        raise TypeError(f"{model.__name__} has no field {', '.join(sorted(unknown))}")


def _default(kind: Any, field: str) -> Any:
    make = _defaults(kind).get(field)
    if make is None:
        raise TypeError(f"{kind.__name__} has no field {field} with a default to go back to")
    return make()


@cache
def _defaults(kind: Any) -> dict[str, Callable[[], Any]]:
    """How to make the default of each field that has one."""
    if is_pydantic(kind):
        fields = {name: field for name, field in kind.model_fields.items() if not field.is_required()}
        return {name: partial(field.get_default, call_default_factory=True) for name, field in fields.items()}
    info: Any = inspect.type_info(kind)
    return {field.name: partial(_made, field) for field in info.fields if not field.required}


def _made(field: inspect.Field) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
