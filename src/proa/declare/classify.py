"""Which tables a handler writes, read off its code: the edge must know a route's class before any request runs.

The class is a promise that the runtime enforces (a unit that writes elsewhere is refused), so an inference that misses
a table behind dynamic code costs a clear error and never a wrong retry. `unit=` on the route overrules it.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from proa.declare.tables import BaseTable

WRITES = frozenset({"put", "insert", "replace", "update", "delete"})
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}


def written_tables(handler: Callable[..., Any]) -> set[BaseTable[Any]]:
    """The tables on which `handler`, or a function it names, calls a writing method."""
    written: set[BaseTable[Any]] = set()
    seen: set[int] = set()
    pending: list[Any] = [handler]
    while pending:
        function = pending.pop()
        function = getattr(function, "__wrapped__", function)
        if not isinstance(function, FunctionType) or id(function) in seen:
            continue
        seen.add(id(function))
        for value, attribute in _references(function):
            if isinstance(value, BaseTable) and attribute in WRITES:
                written.add(value)  # pyright: ignore[reportUnknownArgumentType]
            elif isinstance(value, FunctionType):
                pending.append(value)
    return written


def _references(function: FunctionType) -> Iterator[tuple[Any, str | None]]:
    """Each object that the function's code names, with the attribute taken from it."""
    names = _namespace(function)
    for code in _codes(function.__code__):
        value: Any = None
        for instruction in dis.get_instructions(code):
            if instruction.opname in _LOADS:
                value = names.get(instruction.argval)
                yield value, None
            elif instruction.opname in _ATTRIBUTES and value is not None:
                yield value, instruction.argval
                value = getattr(value, instruction.argval, None) if isinstance(value, ModuleType) else None
                yield value, None
            else:
                value = None


def _namespace(function: FunctionType) -> dict[str, Any]:
    cells = function.__closure__ or ()
    closure = {name: _content(cell) for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}
    return function.__globals__ | closure


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled: a name that is defined after the handler
        return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
