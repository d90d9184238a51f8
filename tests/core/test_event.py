"""Filters and schemas of events, as values."""

from enum import Enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.event import filter_of, passes, unreadable
from proa.declare.codec import json_schema
from proa.errors import DeclarationError


class Country(Enum):
    AT = "AT"
    DE = "DE"


class Address(msgspec.Struct, frozen=True):
    country: Country


class Order(msgspec.Struct):
    status: str = "paid"
    total: float = 100
    gift: bool = False
    note: str | None = None
    address: Address = Address(Country.AT)
    tags: dict[str, str] = {}


ORDER = Order(tags={"channel": "web"})


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"status": "paid"}, True),
        ({"status": "sent"}, False),
        ({"status": ["sent", "paid"]}, True),
        ({"status": {"prefix": "pa"}}, True),
        ({"status": {"prefix": "ap"}}, False),
        ({"status": {"anything_but": "paid"}}, False),
        ({"status": {"anything_but": ["draft", "void"]}}, True),
        ({"status": [{"prefix": "x"}, "paid"]}, True),
        ({"total": {"from": 100}}, True),
        ({"total": {"above": 100}}, False),
        ({"total": {"from": 50, "below": 100}}, False),
        ({"total": {"from": 50, "to": 100}}, True),
        ({"status": {"from": 1}}, False),
        ({"gift": False}, True),
        ({"gift": 0}, False),
        ({"total": 100}, True),
        ({"note": None}, True),
        ({"note": {"exists": False}}, True),
        ({"status": {"exists": True}}, True),
        ({"nowhere": {"exists": True}}, False),
        ({"nowhere": {"anything_but": "x"}}, False),
        ({"nowhere.at.all": {"exists": False}}, True),
        ({"address.country": "AT"}, True),
        ({"tags.channel": "web"}, True),
        ({"status": "paid", "total": {"above": 500}}, False),
    ],
)
def test_a_filter_passes_what_is_wanted_of_each_field(wanted, expected):
    assert passes(filter_of(wanted), ORDER) is expected


NONE = [{"like": "a"}, {}, {"prefix": 3}, {"from": "a"}, {"from": True}, {"prefix": "a", "from": 1}, object()]


@pytest.mark.parametrize("wanted", NONE)
def test_what_is_no_test_is_refused(wanted):
    with pytest.raises(DeclarationError, match="filter of status"):
        filter_of({"status": wanted})


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_below_and_from_divide_all_numbers(bound, total):
    below, beyond = filter_of({"total": {"below": bound}}), filter_of({"total": {"from": bound}})
    assert passes(below, Order(total=total)) != passes(beyond, Order(total=total))


class Old(msgspec.Struct):
    id: str
    qty: int
    state: str = "new"


class Added(msgspec.Struct):
    id: str
    qty: float
    coupon: str | None = None


class Demanding(msgspec.Struct):
    id: str
    qty: int
    currency: str


class Narrow(msgspec.Struct):
    id: int
    qty: int


class Tree(msgspec.Struct):
    name: str
    children: list["Tree"] = []


class StricterTree(msgspec.Struct):
    name: str
    weight: int
    children: list["StricterTree"] = []


class Nested(msgspec.Struct):
    order: Old


class NestedDemanding(msgspec.Struct):
    order: Demanding


class NestedList(msgspec.Struct):
    order: list[Old]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (Old, Old, []),
        (Old, Added, []),
        (Added, Old, ["`qty` was number, and is integer"]),
        (Old, Demanding, ["`currency` is required, and was not there before"]),
        (Old, Narrow, ["`id` was string, and is integer"]),
        (Nested, NestedDemanding, ["`order.currency` is required, and was not there before"]),
        (Nested, NestedList, ["`order` was object, and is array"]),
        (Tree, Tree, []),
        (Tree, StricterTree, ["`weight` is required, and was not there before"]),
    ],
)
def test_what_was_written_before_can_be_read_or_it_is_said_why_not(before, now, expected):
    assert unreadable(json_schema(before), json_schema(now)) == expected
