"""Reach: the places in an author's code where a value may be bound, as far as an app's handlers can reach them.

Whoever wants to exchange a value that was bound long ago (`from time import time`) must find the name that holds it.
The walk begins at some functions and follows what is the author's: globals, defaults and closures of functions,
attributes of classes and instances, entries of dicts and lists. It stops at everybody else's objects.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

Put = Callable[[Any], object]
Place = tuple[Any, Put | None]
"""A value, and what puts another one in its place; None where that is impossible."""

ENTRIES_MAX = 1000
"""Larger dicts and lists are data, not a place for functions."""
_LEAVES = frozenset({str, bytes, int, float, bool, type(None), BuiltinFunctionType})


def places(roots: Iterable[Any], authored: Callable[[str], bool]) -> Iterator[Place]:
    """Every place that can be reached from `roots`; `authored` tells whether a file is the author's."""
    seen = {id(vars(builtins))}
    ahead = list(roots)
    while ahead:
        thing = ahead.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        for value, put in _within(thing, authored):
            yield value, put
            if value.__class__ not in _LEAVES:
                ahead.append(value)


def _within(thing: Any, authored: Callable[[str], bool]) -> Iterator[Place]:
    """The places directly in `thing`, where it is a container or the author's."""
    kind = thing.__class__
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](thing)
    if kind is ModuleType:
        return _of_module(thing) if authored(getattr(thing, "__file__", None) or "") else iter(())
    if isinstance(thing, type):
        return _of_class(thing) if _is_own(thing, authored) else iter(())
    if kind is FunctionType:
        return _of_function(thing) if _is_own(thing, authored) else _wrapped(thing)
    return _of_instance(thing) if _is_own(kind, authored) else iter(())


def _is_own(thing: Any, authored: Callable[[str], bool]) -> bool:
    """Whether the module that defines a function or a class is the author's."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return authored(getattr(module, "__file__", None) or "")


def _of_function(function: FunctionType) -> Iterator[Place]:
    for number, value in enumerate(function.__defaults__ or ()):
        yield value, partial(_set_default, function, number)
    yield function.__globals__, None
    yield function.__kwdefaults__, None
    yield vars(function), None
    yield function.__closure__ or (), None


def _set_default(function: FunctionType, number: int, value: Any) -> None:
    defaults = function.__defaults__ or ()
    function.__defaults__ = (*defaults[:number], value, *defaults[number + 1 :])


def _wrapped(function: FunctionType) -> Iterator[Place]:
    """Somebody else's decorator around a function of the author's."""
    yield vars(function).get("__wrapped__"), None


def _of_module(module: ModuleType) -> Iterator[Place]:
    yield vars(module), None


def _of_method(method: MethodType) -> Iterator[Place]:
    yield method.__self__, None
    yield method.__func__, None


def _of_partial(call: partial[Any]) -> Iterator[Place]:
    yield call.func, None
    yield call.args, None
    yield call.keywords, None


def _of_property(attribute: property) -> Iterator[Place]:
    yield attribute.fget, None


def _of_tuple(entries: tuple[Any, ...]) -> Iterator[Place]:
    yield from ((value, None) for value in entries)


def _of_cell(cell: CellType) -> Iterator[Place]:
    try:
        yield cell.cell_contents, partial(setattr, cell, "cell_contents")
    except ValueError:  # not bound yet
        return


def _of_dict(entries: dict[Any, Any]) -> Iterator[Place]:
    if len(entries) <= ENTRIES_MAX:
        for key, value in list(entries.items()):
            yield value, partial(entries.__setitem__, key)


def _of_list(entries: list[Any]) -> Iterator[Place]:
    if len(entries) <= ENTRIES_MAX:
        for number, value in enumerate(list(entries)):
            yield value, partial(entries.__setitem__, number)


def _of_class(kind: type[Any]) -> Iterator[Place]:
    entries: list[tuple[str, Any]] = list(vars(kind).items())
    for name, value in entries:
        yield value, partial(_set_attribute, kind, name)
        if value.__class__ in (staticmethod, classmethod):
            yield value.__func__, partial(_set_attribute, kind, name)


def _set_attribute(kind: type[Any], name: str, value: Any) -> None:
    """A built-in function in a class takes no `self`; whatever stands for it must not either."""
    setattr(kind, name, staticmethod(value))


def _of_instance(thing: Any) -> Iterator[Place]:
    yield getattr(thing, "__dict__", None), None
    kinds: tuple[Any, ...] = thing.__class__.__mro__
    for kind in kinds:
        for entry in list(kind.__dict__.values()):
            if entry.__class__ is MemberDescriptorType:
                yield from _of_slot(thing, entry)


def _of_slot(thing: Any, slot: MemberDescriptorType) -> Iterator[Place]:
    try:
        yield slot.__get__(thing), partial(slot.__set__, thing)
    except AttributeError:  # not set yet
        return


_CONTAINERS: dict[Any, Callable[[Any], Iterator[Place]]] = {
    dict: _of_dict,
    list: _of_list,
    tuple: _of_tuple,
    CellType: _of_cell,
    MethodType: _of_method,
    partial: _of_partial,
    property: _of_property,
}
