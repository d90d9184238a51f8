"""Unknown fields are refused by name, at any depth that the type describes."""

from dataclasses import dataclass, field

import msgspec
import pytest

from proa import Unprocessable
from proa.declare.codec import json_decoder


@dataclass
class Line:
    sku: str


@dataclass
class Order:
    id: str
    first: Line | None = None
    lines: list[Line] = field(default_factory=list)
    by_name: dict[str, Line] = field(default_factory=dict)
    anything: dict[str, int] = field(default_factory=dict)


class Renamed(msgspec.Struct, rename="camel"):
    long_name: Line


class Tree(msgspec.Struct):
    name: str
    children: list["Tree"] = []


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (Order, b'{"id":"a","x":1,"y":2}', "unknown field `x`, `y`; known are anything, by_name, first, id, lines"),
        (Order, b'{"id":"a","first":{"sku":"s","x":1}}', "unknown field `first.x`; known are sku"),
        (Order, b'{"id":"a","lines":[{"sku":"s"},{"sku":"s","x":1}]}', "unknown field `lines.x`"),
        (Order, b'{"id":"a","by_name":{"n":{"sku":"s","x":1}}}', "unknown field `by_name.x`"),
        (Renamed, b'{"longName":{"sku":"s","x":1}}', "unknown field `longName.x`"),
        (Tree, b'{"name":"a","x":1}', "unknown field `x`"),
    ],
)
def test_unknown_fields_are_named(kind, body, message):
    with pytest.raises(Unprocessable) as refused:
        json_decoder(kind)(body)
    assert refused.value.detail.startswith(message)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Order, b'{"id":"a","first":null,"lines":[],"anything":{"x":1}}'),
        (Renamed, b'{"longName":{"sku":"s"}}'),
        (Tree, b'{"name":"a","children":[{"name":"b","children":[]}]}'),
    ],
)
def test_known_fields_pass(kind, body):
    assert isinstance(json_decoder(kind)(body), kind)
