"""Indexes: every store's entries are those of its rows."""

from dataclasses import dataclass

from proa.app import App
from proa.core.replicate.journal import Row
from proa.simulation.checkers import indexes
from proa.simulation.history import Final
from support.histories import store


@dataclass
class Item:
    id: str
    shelf: str


app = App("shop", regions=["eu", "us"])
items = app.table("items", Item, key="id", indexes={"by_shelf": "shelf"})
VALUE = items.schema and b"\x82\xa2id\xa1a\xa5shelf\xa4high"
ENTRY = ("items", "by_shelf", items.schema.entries("a", VALUE)["by_shelf"], "a")


def end(indexed, value=VALUE):
    row = Row("items", "a", value, 1, "eu/1", 1, {"eu/1": 1}, 1)
    region = store(rows={("items", "a"): row}, indexed=frozenset(indexed))
    return Final({"eu": region}, store())


def test_a_row_with_its_entry_is_in_order():
    assert indexes.check(app, end([ENTRY])) == []


def test_a_row_without_its_entry_is_a_violation():
    (violation,) = indexes.check(app, end([]))
    assert violation.detail == f"eu lacks 1 entries: {[ENTRY]}"


def test_an_entry_of_a_deleted_row_is_a_violation():
    (violation,) = indexes.check(app, end([ENTRY], value=None))
    assert violation.detail == f"eu keeps 1 entries: {[ENTRY]}"
