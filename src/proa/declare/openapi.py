"""OpenAPI 3.1 out of the declarations: what each route takes, what it answers, and how it refuses.

Everything is read off the code. Parameters and bodies are those of the handler's signature; a result's schema is that
of its return type; the refusals are those of the stages that the route passes, of the tables that its code uses, and
the errors that its code names. Errors that only dynamic code raises are declared with `errors=`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

import msgspec

from proa.core.dedupe import KEY_LENGTH_MAX
from proa.declare.binding import BODY_METHODS, placeholders
from proa.declare.classify import functions, references, tables_called
from proa.declare.codec import is_pydantic, schema_components
from proa.declare.front import Front
from proa.declare.handlers import Route
from proa.declare.http import Header, Response
from proa.errors import (
    AlreadyExists,
    BadRequest,
    Blocked,
    DeadlineExceeded,
    Forbidden,
    HttpError,
    KeyReused,
    MissingIdempotencyKey,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ProaError,
    RequestTooSlow,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

Json = dict[str, Any]
REF = "#/components/schemas/{name}"
PROBLEM = "Problem"
CREDENTIALS = "credentials"
_OF_TABLES: Mapping[type[ProaError], frozenset[str]] = {
    NotFound: frozenset({"get", "replace", "update"}),
    AlreadyExists: frozenset({"insert", "replace", "update", "delete", "put"}),
    Unprocessable: frozenset({"get", "put", "insert", "replace", "update", "delete", "query", "by"}),
    BadRequest: frozenset({"query", "by"}),
}
"""What tables raise in which of their methods."""
_PROBLEM_SCHEMA: Json = {
    "type": "object",
    "description": "An error, as RFC 9457 has it. `proa explain CODE` explains a code.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "unit": {"type": "string"},
    },
}


class Declarations(Protocol):
    """What is documented: an `App`."""

    name: str
    routes: list[Route]
    front: Front

    @property
    def is_private(self) -> bool: ...


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a handler, and where a request carries it."""

    name: str
    place: str
    kind: Any
    required: bool


def document(app: Declarations) -> Json:
    """The app's OpenAPI document."""
    routes = [route for route in app.routes if route.documented and not route.mount]
    schemas = _Schemas([kind for route in routes for kind in _kinds(route)])
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(app, route, schemas)
    components: Json = {"schemas": {PROBLEM: _PROBLEM_SCHEMA, **schemas.components}}
    if app.is_private:
        components["securitySchemes"] = {CREDENTIALS: {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": app.name, "version": "1"},
        "paths": paths,
        "components": components,
    }


class _Schemas:
    """The schemas of all types in use: those with a name once, as components."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        all_kinds = list(kinds)
        plain = [kind for kind in all_kinds if not is_pydantic(kind)]
        made, self.components = schema_components(plain, REF)
        self._made = dict(zip(map(repr, plain), made, strict=True))
        for kind in all_kinds:
            if is_pydantic(kind):
                self._add_pydantic(kind)

    def _add_pydantic(self, kind: Any) -> None:
        schema = kind.model_json_schema(ref_template=REF.replace("{name}", "{model}"))
        self.components |= schema.pop("$defs", {})
        self.components[kind.__name__] = schema
        self._made[repr(kind)] = {"$ref": REF.format(name=kind.__name__)}

    def of(self, kind: Any) -> Json:
        return self._made[repr(kind)]


def parameters(route: Route) -> list[Parameter]:
    """What a handler takes out of a request. Which it is, the getter that was bound for it says."""
    hints = get_type_hints(route.handler, include_extras=True)
    signature = inspect.signature(route.handler).parameters
    found: list[Parameter] = []
    for name, getter in route.getters.items():
        kind, given = hints.get(name), signature[name].default is not inspect.Parameter.empty
        if name in placeholders(route.path):
            found.append(Parameter(name, "path", kind, required=True))
        elif getter.__name__ == "header":
            inner, *marks = get_args(kind)
            mark = next(mark for mark in marks if isinstance(mark, Header))
            found.append(Parameter(mark.name or name.replace("_", "-"), "header", inner, required=not given))
        elif getter.__name__ in ("query", "body"):
            found.append(Parameter(name, getter.__name__, kind, required=not given))
    return found


def _result(route: Route) -> Any:
    """The type of a handler's result; None for none."""
    kind = get_type_hints(route.handler, include_extras=True).get("return", Any)
    return None if kind is type(None) else kind


def _kinds(route: Route) -> Iterator[Any]:
    yield from (parameter.kind for parameter in parameters(route))
    if (result := _result(route)) not in (None, Response):
        yield result


def _operation(app: Declarations, route: Route, schemas: _Schemas) -> Json:
    text = inspect.getdoc(route.handler) or ""
    taken = parameters(route)
    operation: Json = {
        "operationId": f"{route.handler.__name__}_{route.method.lower()}",
        "summary": text.partition("\n")[0],
        "description": text,
        "parameters": [*(_parameter(one, schemas) for one in taken if one.place != "body"), *_key(route)],
        "responses": {**_success(route, schemas), **_refusals(app, route, taken)},
    }
    if _demands(app, route):
        operation["security"] = [{CREDENTIALS: []}]
    for one in taken:
        if one.place == "body":
            content = {"application/json": {"schema": schemas.of(one.kind)}}
            operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(one: Parameter, schemas: _Schemas) -> Json:
    schema = schemas.of(one.kind)
    if one.place == "path" and _is_text(one.kind):
        schema = {"pattern": "^[^/]+$", **schema, "minLength": 1}
    return {"name": one.name, "in": one.place, "required": one.required, "schema": schema}


def _is_text(kind: Any) -> bool:
    return kind is str or (get_origin(kind) is Annotated and get_args(kind)[0] is str)


def _key(route: Route) -> list[Json]:
    if not route.idempotent:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[!-~]+$"}
    required = route.idempotent is True
    told = "The same key with the same request is answered as the first time."
    return [{"name": "Idempotency-Key", "in": "header", "required": required, "schema": schema, "description": told}]


def _success(route: Route, schemas: _Schemas) -> Json:
    result = _result(route)
    if result is None:
        status = 204 if route.status == 200 else route.status
        return {str(status): {"description": HTTPStatus(status).phrase}}
    if result is Response:
        return {str(route.status): {"description": "As the handler says."}}
    content = {"application/json": {"schema": schemas.of(result)}}
    return {str(route.status): {"description": HTTPStatus(route.status).phrase, "content": content}}


def _refusals(app: Declarations, route: Route, taken: list[Parameter]) -> Json:
    """A response for each status of what may be raised, naming the codes."""
    by_status: dict[int, dict[str, str]] = {}
    for error in _errors(app, route, taken):
        by_status.setdefault(error.status, {})[error.code] = error.title
    content = {"application/problem+json": {"schema": {"$ref": REF.format(name=PROBLEM)}}}
    return {
        str(status): {
            "description": "; ".join(f"{title} ({code})" for code, title in sorted(codes.items())),
            "content": content,
        }
        for status, codes in sorted(by_status.items())
    }


def _errors(app: Declarations, route: Route, taken: list[Parameter]) -> Iterator[type[ProaError]]:
    yield from (BadRequest, DeadlineExceeded, Unavailable)
    if taken:
        yield Unprocessable
    if route.method in BODY_METHODS:
        yield from (PayloadTooLarge, RequestTooSlow)
    if route.idempotent:
        yield from (MissingIdempotencyKey, KeyReused)
    if app.front.throttles or route.throttles:
        yield TooManyRequests
    if any(rule.action == "block" for rule in app.front.rules):
        yield Blocked
    if app.front.concurrency or route.concurrency:
        yield Overloaded
    if _demands(app, route):
        yield from (Unauthorized, Forbidden)
    for error, methods in _OF_TABLES.items():
        if tables_called(route.handler, methods):
            yield error
    yield from route.errors
    yield from _named(route)


def _demands(app: Declarations, route: Route) -> bool:
    """Whether credentials that are sent must be good."""
    return app.is_private and route.auth is not None


def _named(route: Route) -> Iterator[type[ProaError]]:
    """The errors that the handler's code, or that of functions it calls, names."""
    for function in functions(route.handler):
        if function.__module__.startswith("proa."):
            continue
        for value, _ in references(function):
            if isinstance(value, type) and issubclass(value, HttpError):
                yield value
