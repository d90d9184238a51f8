"""A default that a client leaves out is part of the answer and of the row, as if it had been sent."""

from dataclasses import dataclass, field

import msgspec
import pytest

from proa.declare.codec import RowCodec, json_decoder, to_json


@dataclass
class Line:
    sku: str
    qty: int = 1


@dataclass(frozen=True)
class Frozen:
    id: str
    note: str | None = None


@dataclass(slots=True)
class Slotted:
    id: str
    qty: int = 1


@dataclass
class Order:
    id: str
    lines: list[Line] = field(default_factory=list)
    first: Line | None = None
    by_name: dict[str, Line] = field(default_factory=dict)
    paid: bool = False


class Envelope(msgspec.Struct):
    line: Line


LINES = b'{"id":"a","lines":[{"sku":"x"}],"first":{"sku":"y"},"by_name":{"z":{"sku":"z"}}}'
WHOLE = (
    b'{"id":"a","lines":[{"sku":"x","qty":1}],"first":{"sku":"y","qty":1},'
    b'"by_name":{"z":{"sku":"z","qty":1}},"paid":false}'
)


@pytest.mark.parametrize(
    ("kind", "sent", "whole"),
    [
        (Line, b'{"sku":"x"}', b'{"sku":"x","qty":1}'),
        (Frozen, b'{"id":"a"}', b'{"id":"a","note":null}'),
        (Slotted, b'{"id":"a"}', b'{"id":"a","qty":1}'),
        (Order, LINES, WHOLE),
        (Envelope, b'{"line":{"sku":"x"}}', b'{"line":{"sku":"x","qty":1}}'),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_defaults_are_answered_and_stored(kind, sent, whole):
    value = json_decoder(kind)(sent)
    assert msgspec.json.decode(to_json(value)) == msgspec.json.decode(whole)
    codec = RowCodec(kind)
    assert msgspec.msgpack.decode(codec.encode(value)) == msgspec.json.decode(whole)
    assert msgspec.json.decode(to_json(codec.decode(msgspec.msgpack.encode(msgspec.json.decode(sent))))) == (
        msgspec.json.decode(whole)
    )
