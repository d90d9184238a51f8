"""Models in and out: dataclasses and msgspec Structs first, pydantic models where an author brings them.

JSON is the clients' form (unknown fields are refused by name), msgpack the stores'. pydantic is never imported here: a
model is known by its methods.
"""

from __future__ import annotations

import dataclasses
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Generic, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from proa.errors import BadRequest, Unprocessable

T = TypeVar("T")
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


def _hook(name: str) -> Callable[..., Any]:
    """A hook of `crdt`, which is loaded with the first value that needs one: plain rows never do."""

    def call(*values: Any) -> Any:
        from proa.core.replicate import crdt

        return getattr(crdt, name)(*values)

    return call


_encode_json = msgspec.json.Encoder(enc_hook=_hook("to_plain")).encode
_encode_msgpack = msgspec.msgpack.Encoder(enc_hook=_hook("to_state")).encode
_decode_msgpack = msgspec.msgpack.Decoder().decode


def is_pydantic(kind: Any) -> bool:
    """Whether `kind` is a pydantic model class."""
    return isinstance(kind, type) and hasattr(kind, "model_validate_json")


def is_model(kind: Any) -> bool:
    """Whether `kind` describes an object with named fields, which a request body may carry."""
    return (
        dataclasses.is_dataclass(kind)
        or is_pydantic(kind)
        or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
    )


def field_names(kind: Any) -> frozenset[str] | None:
    """The field names of a model as they stand in JSON; None where `kind` has no fixed set."""
    if is_pydantic(kind) or not is_model(kind):
        return None
    if dataclasses.is_dataclass(kind):
        return frozenset(field.name for field in dataclasses.fields(kind))
    return frozenset(kind.__struct_encode_fields__)


def json_decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function from a request body to a `kind`; it raises BadRequest or Unprocessable and says where."""
    if is_pydantic(kind):
        return _pydantic_decoder(kind)
    decode = completing(kind, msgspec.json.Decoder(kind, dec_hook=_hook("from_plain")).decode)
    shape = shape_of(kind)

    def decoded(body: bytes) -> T:
        try:
            value = decode(body)
            if shape is not None:
                _refuse_unknown(body, shape)
        except msgspec.ValidationError as error:
            raise Unprocessable(str(error)) from None
        except ValueError as error:
            raise BadRequest(f"the body is not valid JSON: {error}") from None
        except RecursionError:
            raise BadRequest("the body is nested too deeply") from None
        return value

    return decoded


def completing(kind: Any, decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """`decode`, with every default that it left to a dataclass's class set on the instance too.

    msgspec does not set a default that it can read off the class, and encodes what the instance has: such a field would
    be missing from answers and from rows, and a default that changes later would change rows written before.
    """
    models = [model for model in _models_in(kind, set()) if plain_defaults(model)]
    if not models:
        return decode
    complete: Callable[[Any], None] = _complete_one if models == [kind] else _complete

    def completed(data: bytes) -> T:
        value = decode(data)
        complete(value)
        return value

    return completed


@cache
def plain_defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields of a dataclass without slots that have a default value, with it."""
    if not dataclasses.is_dataclass(kind) or "__slots__" in vars(kind):
        return ()
    fields = dataclasses.fields(kind)
    return tuple((field.name, field.default) for field in fields if field.default is not dataclasses.MISSING)


def _complete_one(value: Any) -> None:
    """Complete a model that holds no other one with defaults."""
    for name, default in plain_defaults(value.__class__):
        if name not in value.__dict__:
            object.__setattr__(value, name, default)


def _complete(value: Any) -> None:
    """Complete a value and everything in it."""
    _complete_one(value)
    for part in _parts(value):
        if part.__class__ not in _SCALARS:
            _complete(part)


def _parts(value: Any) -> Iterable[Any]:
    match value:
        case list() | tuple() | set() | frozenset():
            return cast("Iterable[Any]", value)
        case dict():
            return cast("dict[Any, Any]", value).values()
        case msgspec.Struct():
            return [getattr(value, name) for name in value.__struct_fields__]
        case _ if dataclasses.is_dataclass(value):
            return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
        case _:
            return ()


def _models_in(kind: Any, seen: set[Any]) -> Iterator[type]:
    """The models that a type names, itself included."""
    for argument in get_args(kind):
        yield from _models_in(argument, seen)
    if is_model(kind) and not is_pydantic(kind) and kind not in seen:
        seen.add(kind)
        yield kind
        for hint in get_type_hints(kind).values():
            yield from _models_in(hint, seen)


class Shape(msgspec.Struct, frozen=True):
    """The names that a model knows, and the shapes of the models in its fields: single, in lists, as dict values."""

    names: frozenset[str]
    inner: dict[str, tuple[Literal["one", "items", "values"], Shape]] = {}


def shape_of(kind: Any, above: tuple[Any, ...] = ()) -> Shape | None:
    """The shape of a model; None where it has no fixed set of names, or holds itself (then it is checked once)."""
    names = field_names(kind)
    if names is None or kind in above:
        return None
    hints = get_type_hints(kind)
    encoded = getattr(kind, "__struct_encode_fields__", None) or tuple(names)
    fields = dict(zip(encoded, getattr(kind, "__struct_fields__", encoded), strict=True))
    inner = {name: found for name, field in fields.items() if (found := _inner(hints.get(field), (*above, kind)))}
    return Shape(names, inner)


def _inner(hint: Any, above: tuple[Any, ...]) -> tuple[Literal["one", "items", "values"], Shape] | None:
    if is_model(hint):
        return ("one", shape) if (shape := shape_of(hint, above)) else None
    arguments = get_args(hint)
    if get_origin(hint) is dict:
        return ("values", shape) if (shape := shape_of(arguments[1], above)) else None
    if get_origin(hint) in (list, tuple, set, frozenset):
        return ("items", shape) if (shape := shape_of(arguments[0], above)) else None
    models = [argument for argument in arguments if is_model(argument)]
    return _inner(models[0], above) if len(models) == 1 else None


def _refuse_unknown(body: bytes | msgspec.Raw, shape: Shape, where: str = "") -> None:
    given = _RAW_OBJECT.decode(body)
    if not shape.names.issuperset(given):
        unknown = ", ".join(f"`{where}{name}`" for name in sorted(given.keys() - shape.names))
        raise Unprocessable(f"unknown field {unknown}; known are {', '.join(sorted(shape.names))}")
    for name, (how, inner) in shape.inner.items():
        if (raw := given.get(name)) is not None and bytes(raw) != b"null":
            for part in _PARTS[how](raw):
                _refuse_unknown(part, inner, f"{where}{name}.")


_PARTS: dict[str, Callable[[msgspec.Raw], Iterable[msgspec.Raw]]] = {
    "one": lambda raw: [raw],
    "items": msgspec.json.Decoder(list[msgspec.Raw]).decode,
    "values": lambda raw: _RAW_OBJECT.decode(raw).values(),
}


def _pydantic_decoder(kind: Any) -> Callable[[bytes], Any]:
    def decoded(body: bytes) -> Any:
        try:
            return kind.model_validate_json(body)
        except ValueError as error:
            raise Unprocessable(str(error)) from None

    return decoded


def to_json(value: Any) -> bytes:
    """A handler's result as a response body."""
    return _json_encoder(value.__class__)(value)


def readable(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """Bytes of a store as people read them: what JSON has of their value; named as bytes where nothing reads them."""
    try:
        return msgspec.json.decode(to_json(decode(data)))
    except Exception as error:  # noqa: BLE001 - torn bytes, another type by now, an author's own checks
        return {"undecodable": b64encode(data).decode(), "why": f"{type(error).__name__}: {error}"}


@cache
def _json_encoder(kind: type) -> Callable[[Any], bytes]:
    return (lambda value: value.model_dump_json().encode()) if is_pydantic(kind) else _encode_json


def json_schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of a model."""
    if is_pydantic(kind):
        return kind.model_json_schema()
    return msgspec.json.schema(kind, schema_hook=_hook("plain_schema"))


def schema_components(kinds: Iterable[Any], ref_template: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """The JSON schema of each type, none of them pydantic's, and the named ones they refer to.

    As decoding does, they allow no properties that are not named.
    """
    made, components = msgspec.json.schema_components(
        kinds, schema_hook=_hook("plain_schema"), ref_template=ref_template
    )
    for schema in components.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return made, components


class RowCodec(Generic[T]):
    """Rows of one table to and from the bytes that stores keep."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        self._decode: Callable[[bytes], T]
        if is_pydantic(kind):
            model: Any = kind
            self.encode: Callable[[T], bytes] = lambda row: _encode_msgpack(_dump(row))
            self._decode = lambda data: model.model_validate(_decode_msgpack(data))
        else:
            self.encode = _encode_msgpack
            decoder = msgspec.msgpack.Decoder(kind, dec_hook=_hook("from_state"), ext_hook=_hook("from_extension"))
            self._decode = completing(kind, decoder.decode)

    def decode(self, data: bytes) -> T:
        return self._decode(data)


def _dump(row: Any) -> Any:
    return row.model_dump(mode="json")
