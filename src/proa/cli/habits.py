"""What handlers do that cannot be seen in a declaration: habits, read off their code as `declare.classify` does.

A habit is a guess. It says what it saw, so that a reader can tell at once whether it is meant; it never refuses an app.
"""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import pairwise
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast, get_args, get_type_hints

from proa.app import App
from proa.core.replicate.merge import Fields, LastWriter
from proa.declare.classify import codes, functions, namespace, references, tables_called
from proa.declare.handlers import Route
from proa.declare.tables import BaseTable
from proa.declare.updates import add

WHOLE = frozenset({"put", "replace"})
LINK = "proa.runtime.link"
CLIENTS = ("httpx", "requests", "aiohttp", "urllib.request", "urllib3", "http.client", "niquests", LINK)
"""Modules that call other machines."""
LOCAL = r"localhost|127\.0\.0\.1|\[::1\]"
_SUMS = {"+", "-", "+=", "-="}


# A number that regions count up and down, in a row of which one writer wins.


def counted(route: Route) -> Iterator[tuple[BaseTable[Any], str, str]]:
    """Numbers that a route adds to in a table whose merge keeps one writer's: (table, field, what was seen)."""
    summed, stored = _operands(route.handler), _stored(route.handler)
    named = [value for value, _ in _named(route.handler)]
    for table in _sorted(tables_called(route.handler, WHOLE)):
        changed = summed if any(value is table.kind for value in named) else summed & stored
        yield from ((table, field, "reads it and writes the sum") for field in sorted(changed & _numbers(table)))
    added = {name for function in _own(route.handler) for name in _added(function)}
    for table in _sorted(tables_called(route.handler, {"update"})) if added else ():
        yield from ((table, field, f"add({field}=...)") for field in sorted(added & _numbers(table)))


def _added(function: FunctionType) -> Iterator[str]:
    """The fields named in a function's calls of `add`."""
    names = {name for name, value in namespace(function).items() if value is add}
    if names or any(value is add for value, _ in references(function)):
        for code in codes(function.__code__):
            yield from _arguments_of(code, names | {add.__name__})


def _arguments_of(code: CodeType, names: Container[str]) -> Iterator[str]:
    """The names of arguments in calls of these names: such a call begins in the source where its name does."""
    instructions = [found for found in dis.get_instructions(code) if found.positions]
    begins = {_place(found)[0] for found in instructions if found.opname.startswith("LOAD") and found.argval in names}
    for before, found in pairwise(instructions):
        if _place(found)[0] in begins and found.opname in ("KW_NAMES", "CALL_KW"):
            constant = before.arg if found.opname == "CALL_KW" else found.arg
            yield from _names_in(code.co_consts[constant or 0])


def _numbers(table: BaseTable[Any]) -> frozenset[str]:
    """The fields of an `any` table that hold plain numbers, and that nobody gave a rule of their own."""
    if table.mode != "any" or not isinstance(table.merge, LastWriter | Fields | None):
        return frozenset()
    ruled: Mapping[str, Any] = table.merge.joins if isinstance(table.merge, Fields) else {}
    hints = get_type_hints(table.kind)
    return frozenset(field for field, hint in hints.items() if _is_number(hint) and field not in ruled)


def _is_number(hint: Any) -> bool:
    return bool({hint, *get_args(hint)} & {int, float})


def _operands(handler: Callable[..., Any]) -> set[str]:
    """The attributes that stand in a sum or a difference."""
    return {name for code in _all_codes(handler) for name in _operands_of(code)}


def _operands_of(code: CodeType) -> Iterator[str]:
    instructions = [instruction for instruction in dis.get_instructions(code) if instruction.positions]
    sums = [_place(found) for found in instructions if found.opname == "BINARY_OP" and found.argrepr in _SUMS]
    for instruction in instructions:
        if instruction.opname == "LOAD_ATTR":
            begin, end = _place(instruction)
            if any(first <= begin and end <= last for first, last in sums):
                yield instruction.argval


def _place(instruction: dis.Instruction) -> tuple[tuple[int, int], tuple[int, int]]:
    """From where to where in the source an instruction's expression stands."""
    at = instruction.positions
    assert at
    return (at.lineno or 0, at.col_offset or 0), (at.end_lineno or 0, at.end_col_offset or 0)


def _stored(handler: Callable[..., Any]) -> set[str]:
    """The attributes that are assigned to, and the names of arguments (`replace(row, left=...)`)."""
    assigned = {
        instruction.argval
        for code in _all_codes(handler)
        for instruction in dis.get_instructions(code)
        if instruction.opname == "STORE_ATTR"
    }
    return assigned | _keywords(handler)


def _keywords(handler: Callable[..., Any]) -> set[str]:
    return {name for code in _all_codes(handler) for names in map(_names_in, code.co_consts) for name in names}


def _names_in(constant: object) -> tuple[str, ...]:
    """The names of arguments that a constant of the code holds for a call, if that is what it is."""
    found = cast("tuple[Any, ...]", constant) if isinstance(constant, tuple) else ()
    return found if all(isinstance(name, str) for name in found) else ()


# A query that goes on until the table ends.


def walks(route: Route) -> bool:
    """Whether a handler asks for page after page of a query in a loop."""
    return any(_walks(code) for code in _all_codes(route.handler))


def _walks(code: CodeType) -> bool:
    instructions = list(dis.get_instructions(code))
    return any(
        _pages(code, [found for found in instructions if begin <= found.offset <= end])
        for begin, end in _loops(instructions)
    )


def _loops(instructions: Iterable[dis.Instruction]) -> Iterator[tuple[int, int]]:
    """Where loops begin and end; those inside an `await` are none."""
    for found in instructions:
        if "JUMP_BACKWARD" in found.opname and not found.opname.endswith("NO_INTERRUPT"):
            yield found.argval, found.offset


def _pages(code: CodeType, inside: list[dis.Instruction]) -> bool:
    asks = any(found.argval == "query" for found in inside)
    tuples = (code.co_consts[found.arg or 0] for found in inside if found.opname in ("KW_NAMES", "LOAD_CONST"))
    return asks and any("start" in _names_in(constant) for constant in tuples)


# A call to another region of the same app.


def calls_home(app: App, route: Route) -> str | None:
    """What a handler names that looks like a call of the app's own regions or edge; None where nothing does."""
    used = (client for name in _modules(route.handler) for client in CLIENTS if f"{name}.".startswith(f"{client}."))
    client = next(used, None)
    if client is None or client == LINK:
        return client and "names Proa's link between nodes"
    if any(value is app and attribute == "regions" for value, attribute in _named(route.handler)):
        return f"names {client} and {app.name}'s list of regions"
    own = next((text for text in _texts(route.handler) if _is_own(text, app)), None)
    return own and f"names {client} and {own!r}"


def _is_own(text: str, app: App) -> bool:
    """Whether a text names a region, or is the address of a route under a host of this machine or of the app's name."""
    if any(re.search(rf"(?<![\w-]){re.escape(region)}(?![\w-])", text) for region in app.regions):
        return True
    found = re.match(rf"https?://(?:[^/]*\b{re.escape(app.name)}\b[^/]*|(?:{LOCAL})(?::\d+)?)(/[^/?#{{]*)", text)
    return found is not None and any(
        route.path == found[1] or route.path.startswith(f"{found[1]}/") for route in app.routes
    )


def _modules(handler: Callable[..., Any]) -> Iterator[str]:
    """The modules of everything that a handler names, or imports when it runs."""
    for value, _ in _named(handler):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif value is not None:
            yield getattr(value, "__module__", None) or type(value).__module__
    for code in _all_codes(handler):
        yield from (found.argval for found in dis.get_instructions(code) if found.opname == "IMPORT_NAME")


def _texts(handler: Callable[..., Any]) -> Iterator[str]:
    """The texts in a handler's code, and those in what it names: a constant, a collection, a client's address."""
    for code in _all_codes(handler):
        yield from (constant for constant in code.co_consts if isinstance(constant, str))
    for value, _ in _named(handler):
        yield from _texts_of(value)


def _texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = [*value.values(), *value.keys()]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(value, list | tuple | set | frozenset):
        return [item for item in value if isinstance(item, str)]  # pyright: ignore[reportUnknownVariableType]
    return [str(base)] if (base := getattr(value, "base_url", None)) else []  # pyright: ignore[reportUnknownArgumentType]


# What all of them read.


def _all_codes(handler: Callable[..., Any]) -> Iterator[CodeType]:
    for function in _own(handler):
        yield from codes(function.__code__)


def _named(handler: Callable[..., Any]) -> Iterator[tuple[Any, str | None]]:
    for function in _own(handler):
        yield from references(function)


def _own(handler: Callable[..., Any]) -> Iterator[FunctionType]:
    """The handler and the author's functions that it names: what libraries do inside is theirs."""
    return (found for found in functions(handler) if not _of_a_library(found))


def _of_a_library(function: FunctionType) -> bool:
    root = function.__module__.partition(".")[0]
    return root == "proa" or root in sys.stdlib_module_names or "site-packages" in function.__code__.co_filename


def _sorted(tables: Iterable[BaseTable[Any]]) -> list[BaseTable[Any]]:
    return sorted(tables, key=lambda table: table.name)
