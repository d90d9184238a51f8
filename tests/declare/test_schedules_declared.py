"""Schedules as an author declares them."""

import pytest

from proa import App, Context, Tick
from proa.core.home import Place
from proa.errors import DeclarationError

REGIONS = ["eu", "us"]


def app(**options):
    return App("shop", regions=REGIONS, **options)


def test_a_schedule_is_called_what_its_handler_is_called():
    shop = app()

    @shop.schedule(every_s=30)
    async def sweep() -> None: ...

    @shop.schedule("0 4 * * *", timezone="Europe/Vienna", name="night.report", once="region")
    async def report(tick: Tick, ctx: Context) -> None: ...

    assert [(one.name, one.said, one.slots, one.takes) for one in shop.schedules.values()] == [
        ("sweep", "every 30 s", ("",), ()),
        ("night.report", "0 4 * * * (Europe/Vienna)", ("eu", "us"), ("tick", "context")),
    ]


def test_nobody_stands_in_for_a_region_whose_own_tick_it_is():
    shop = app()

    @shop.schedule(every_s=30, once="region")
    async def sweep() -> None: ...

    assert shop.schedules["sweep"].place("eu") == Place("schedule sweep", "eu", ("eu",))


async def fine() -> None: ...
def plain() -> None: ...
async def greedy(order: str) -> None: ...
async def doubled(one: Tick, other: Tick) -> None: ...


@pytest.mark.parametrize(
    ("handler", "options", "why"),
    [
        (fine, {}, "one of them"),
        (fine, {"cron": "* * * * *", "every_s": 3}, "one of them"),
        (fine, {"every_s": 0.01}, "at least 0.1"),
        (fine, {"every_s": 1, "once": "twice"}, "once is"),
        (fine, {"every_s": 1, "catch_up": "some"}, "catch_up is"),
        (fine, {"every_s": 1, "timeout_s": 0}, "must be positive"),
        (fine, {"every_s": 1, "name": "a b"}, "identifiers"),
        (plain, {"every_s": 1}, "async def"),
        (greedy, {"every_s": 1}, "async def"),
        (doubled, {"every_s": 1}, "async def"),
    ],
)
def test_what_cannot_work_is_refused(handler, options, why):
    with pytest.raises(DeclarationError, match=why):
        app().schedule(**options)(handler)


def test_a_standby_runs_nothing_of_its_own():
    with pytest.raises(DeclarationError, match="active-active"):
        app(topology="active-passive").schedule(every_s=1, once="region")(fine)


def test_two_schedules_have_two_names():
    shop = app()
    shop.schedule(every_s=1)(fine)
    with pytest.raises(DeclarationError, match="declared twice"):
        shop.schedule(every_s=2)(fine)
