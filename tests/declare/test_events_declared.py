"""Events as an author declares them."""

from dataclasses import dataclass

import pytest

from proa import App
from proa.core.home import Place
from proa.errors import DeclarationError


@dataclass
class Order:
    id: str
    total: int = 0


@dataclass
class Other:
    id: str
    coupon: str


@dataclass
class Textual:
    total: str = ""


def shop(**options):
    return App("shop", regions=["eu", "us"], **options)


async def handle(order: Order) -> None: ...
async def other(order: Other) -> None: ...
async def textual(order: Textual) -> None: ...


def test_a_subscription_is_a_queue_of_the_app():
    app = shop()
    placed = app.event("order.placed", Order)
    assert placed.on(handle) is handle
    assert placed.on(name="second", concurrency=3, depth_max=10)(handle) is handle
    assert list(app.queues) == ["order.placed.handle", "order.placed.second"]
    second = app.queues["order.placed.second"]
    assert (second.declared.concurrency, second.depth_max) == (3, 10)


def test_who_may_handle_a_message():
    placed = shop().event("placed", Order)
    placed.on(name="once")(handle)
    placed.on(name="each", deliver="everywhere")(handle)
    assert placed.subscriptions["once"].place("eu") == Place("placed.once", "eu")
    assert placed.subscriptions["each"].place("eu") == Place("placed.each", "eu", ("eu",))


@pytest.mark.parametrize(
    ("handler", "options", "why"),
    [
        (handle, {"deliver": "twice"}, "deliver is once or everywhere"),
        (handle, {"filter": {"total": {"over": 3}}}, "filter of total"),
        (handle, {"name": "a b"}, "identifiers"),
        (other, {}, "`coupon` is required"),
        (textual, {}, "`total` was integer, and is string"),
    ],
)
def test_a_subscription_that_cannot_work_is_refused(handler, options, why):
    with pytest.raises(DeclarationError, match=why):
        shop().event("placed", Order).on(**options)(handler)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("order placed", {}, "identifiers"),
        ("placed", {"version": 0}, "version must be"),
        ("placed", {"retention_s": -1}, "retention_s 0 or more"),
        ("placed", {"residency": ["mars"]}, "mars, no region"),
    ],
)
def test_an_event_that_cannot_work_is_refused(name, options, why):
    with pytest.raises(DeclarationError, match=why):
        shop().event(name, Order, **options)


def test_names_are_taken_once():
    app = shop()
    placed = app.event("placed", Order)
    placed.on(handle)
    with pytest.raises(DeclarationError, match="declared twice"):
        placed.on(handle)
    with pytest.raises(DeclarationError, match="declared twice"):
        app.event("placed", Order)


def test_a_standby_handles_nothing():
    with pytest.raises(DeclarationError, match="active-active"):
        shop(topology="active-passive").event("placed", Order).on(deliver="everywhere")(handle)


def test_only_some_regions_may_hold_an_event():
    placed = shop().event("placed", Order, residency=["eu"])
    placed.on(deliver="everywhere")(handle)
    assert placed.tables[0] == ":events@eu"
    assert placed.subscriptions["handle"].homes("eu", ("eu", "us")) == ("eu",)
