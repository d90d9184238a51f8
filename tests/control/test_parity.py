"""A region tells once, for each change, that another one declares other tables or routes."""

from proa.control.events import SchemaDiffers, SchemaShared
from proa.control.parity import Parity
from proa.core.roles import Node


class Heard(list):
    emit = list.append


def node(schema, name="us", kind="region"):
    return {name: Node(name, kind, "boot", 1, 2.0, version="0.2", schema=schema)}


def test_each_change_is_told_once_and_so_is_its_end():
    told = Heard()
    parity = Parity("eu", "ours", told)
    for schema in ("ours", "new", "new", "newer", "ours", "ours"):
        parity.heard(node(schema))
    assert told == [
        SchemaDiffers("us", "0.2", "new", "ours"),
        SchemaDiffers("us", "0.2", "newer", "ours"),
        SchemaShared("us"),
    ]


def test_a_region_does_not_differ_from_itself_and_other_nodes_declare_nothing():
    told = Heard()
    parity = Parity("eu", "ours", told)
    parity.heard(node("other", "eu") | node("other", "edge", "edge") | node("", "us"))
    assert told == []
