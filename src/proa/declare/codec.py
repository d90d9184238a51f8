"""Models in and out: dataclasses and msgspec Structs first, pydantic models where an author brings them.

JSON is the clients' form (unknown fields are refused by name), msgpack the stores'. pydantic is never imported here: a
model is known by its methods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from proa.errors import BadRequest, Unprocessable

T = TypeVar("T")
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode
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
    decode = msgspec.json.Decoder(kind).decode
    names = field_names(kind)

    def decoded(body: bytes) -> T:
        try:
            value = decode(body)
            if names is not None:
                _refuse_unknown(body, names)
        except msgspec.ValidationError as error:
            raise Unprocessable(str(error)) from None
        except msgspec.DecodeError as error:
            raise BadRequest(f"the body is not valid JSON: {error}") from None
        except RecursionError:
            raise BadRequest("the body is nested too deeply") from None
        return value

    return decoded


def _refuse_unknown(body: bytes, names: frozenset[str]) -> None:
    given = _RAW_OBJECT.decode(body)
    if len(given) > len(names) or not names.issuperset(given):
        unknown = ", ".join(f"`{name}`" for name in sorted(given.keys() - names))
        raise Unprocessable(f"unknown field {unknown}; known are {', '.join(sorted(names))}")


def _pydantic_decoder(kind: Any) -> Callable[[bytes], Any]:
    def decoded(body: bytes) -> Any:
        try:
            return kind.model_validate_json(body)
        except ValueError as error:
            raise Unprocessable(str(error)) from None

    return decoded


def to_json(value: Any) -> bytes:
    """A handler's result as a response body."""
    if is_pydantic(type(value)):
        return value.model_dump_json().encode()
    return _encode_json(value)


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
            self._decode = msgspec.msgpack.Decoder(kind).decode

    def decode(self, data: bytes) -> T:
        return self._decode(data)


def _dump(row: Any) -> Any:
    return row.model_dump(mode="json")
