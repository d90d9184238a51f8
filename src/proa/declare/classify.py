"""Which tables a handler writes, read off its code: the edge must know a route's class before any request runs.

The class is a promise that the runtime enforces (a unit that writes elsewhere is refused), so an inference that misses
a table behind dynamic code costs a clear error and never a wrong retry. `unit=` on the route overrules it.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Container, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from proa.declare.tables import BaseTable

WRITES = frozenset({"put", "insert", "replace", "update", "delete"})
READS = frozenset({"get", "get_many", "query", "by", "insert", "replace", "update"})
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}


def written_tables(handler: Callable[..., Any]) -> set[BaseTable[Any]]:
    """The tables on which `handler`, or a function it names, calls a writing method."""
    return tables_called(handler, WRITES)


def tables_called(handler: Callable[..., Any], methods: Container[str | None]) -> set[BaseTable[Any]]:
    """The tables of which `handler`, or a function it names, takes one of these methods."""
    return {
        value
        for function in functions(handler)
        for value, attribute in references(function)
        if isinstance(value, BaseTable) and attribute in methods
    }


def functions(handler: Callable[..., Any]) -> Iterator[FunctionType]:
    """`handler` and every function that it names, or that one of those names; each once."""
    seen: set[int] = set()
    pending: list[Any] = [handler]
    while pending:
        function = pending.pop()
        pending += getattr(function, "also_names", ())
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, FunctionType) and id(function) not in seen:
            seen.add(id(function))
            yield function
            pending += [value for value, _ in references(function)]


def references(function: FunctionType) -> Iterator[tuple[Any, str | None]]:
    """Each object that the function's code names, with the attribute taken from it."""
    names = namespace(function)
    for code in codes(function.__code__):
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


def namespace(function: FunctionType) -> dict[str, Any]:
    """What the names in a function's code stand for, as far as they are not its own."""
    cells = function.__closure__ or ()
    closure = {name: _content(cell) for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}
    return function.__globals__ | closure


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled: a name that is defined after the handler
        return None


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)
