"""From a handler's signature to a function that turns a request into its arguments, built once.

A parameter named in the path comes from the path, one annotated `Context` is the unit, one annotated `Principal` is who
asks, one annotated with `Header` is a header, a model (or, in a writing method, the one parameter that is not a scalar)
is the body, the rest is the query.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs

import msgspec

from proa.declare.codec import is_model, json_decoder
from proa.declare.context import Context
from proa.declare.http import Header, Request
from proa.declare.identity import Principal
from proa.errors import BadRequest, DeclarationError, Unprocessable

Getter = Callable[[Request, Mapping[str, str], Context], Any]
BODY_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def placeholders(path: str) -> tuple[str, ...]:
    """The names in `{...}` of a path template."""
    return tuple(_PLACEHOLDER.findall(path))


def bind(handler: Callable[..., Any], method: str, path: str) -> dict[str, Getter]:
    """A getter for each parameter of `handler`.

    Raises:
        DeclarationError: a path name without a parameter, a parameter without an annotation, or two bodies.
    """
    hints = get_type_hints(handler, include_extras=True)
    in_path = placeholders(path)
    parameters = inspect.signature(handler).parameters
    for name in in_path:
        if name not in parameters:
            raise DeclarationError(f"{method} {path}: the handler has no parameter for {{{name}}}")
    getters = {
        name: _getter(parameter, hints.get(name, inspect.Parameter.empty), method, path)
        for name, parameter in parameters.items()
    }
    bodies = [name for name, getter in getters.items() if getter.__name__ == "body"]
    if len(bodies) > 1:
        raise DeclarationError(f"{method} {path}: {' and '.join(bodies)} both want the body; put them into one model")
    return getters


def _getter(parameter: inspect.Parameter, kind: Any, method: str, path: str) -> Getter:
    where = f"{method} {path}, parameter {parameter.name}"
    if kind is inspect.Parameter.empty:
        raise DeclarationError(f"{where}: annotate it, so that requests can be checked")
    if kind is Context:
        return _context
    if kind in (Principal, Principal | None):
        return principal if kind is Principal else perhaps_principal
    if parameter.name in placeholders(path):
        return _from_path(parameter.name, kind)
    if get_origin(kind) is Annotated and (header := _header_mark(kind)):
        return _from_header(header.name or parameter.name.replace("_", "-"), get_args(kind)[0], parameter.default)
    if is_model(kind) or (method in BODY_METHODS and get_origin(kind) in (dict, list)):
        if method not in BODY_METHODS:
            raise DeclarationError(f"{where}: a {method} has no body")
        return _from_body(kind)
    return _from_query(parameter.name, kind, parameter.default)


def _header_mark(kind: Any) -> Header | None:
    return next((mark for mark in get_args(kind)[1:] if isinstance(mark, Header)), None)


def _context(_request: Request, _path: Mapping[str, str], context: Context) -> Context:
    return context


def principal(request: Request, _path: Mapping[str, str], _context: Context) -> Principal:
    """Who asks, where the route lets nobody in who is not known."""
    assert request.principal is not None, "a declaration that this may fail for is refused"
    return request.principal


def perhaps_principal(request: Request, _path: Mapping[str, str], _context: Context) -> Principal | None:
    """Who asks, if that is known."""
    return request.principal


def _from_path(name: str, kind: Any) -> Getter:
    if kind is str:
        return lambda _request, path, _context: path[name]
    return lambda _request, path, _context: _converted(path[name], kind, f"path parameter `{name}`")


def _from_header(name: str, kind: Any, default: Any) -> Getter:
    def header(request: Request, _path: Mapping[str, str], _context: Context) -> Any:
        value = request.headers.get(name.lower())
        if value is not None:
            return _converted(value, kind, f"header `{name}`")
        return _default(default, f"header `{name}`")

    return header


def _from_query(name: str, kind: Any, default: Any) -> Getter:
    def query(request: Request, _path: Mapping[str, str], _context: Context) -> Any:
        values = parse_qs(request.query, keep_blank_values=True).get(name) if request.query else None
        if values:
            value = values if get_origin(kind) is list else values[-1]
            return _converted(value, kind, f"query parameter `{name}`")
        return _default(default, f"query parameter `{name}`")

    return query


def _from_body(kind: Any) -> Getter:
    decode = json_decoder(kind)

    def body(request: Request, _path: Mapping[str, str], _context: Context) -> Any:
        return decode(request.body)

    return body


def _converted(value: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Unprocessable(f"{where}: {error}") from None


def _default(default: Any, where: str) -> Any:
    if default is inspect.Parameter.empty:
        raise BadRequest(f"{where} is missing")
    return default
