"""Cron expressions in time zones: each local time is due once, also when clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.declare.cron import Cron
from proa.errors import DeclarationError

VIENNA = "Europe/Vienna"
FORWARD = datetime(2026, 3, 29, 1, tzinfo=ZoneInfo(VIENNA))
"""An hour before 02:00 becomes 03:00."""
BACK = datetime(2026, 10, 25, 1, tzinfo=ZoneInfo(VIENNA))
"""Two hours before 03:00 becomes 02:00."""


def milliseconds(at):
    return int(at.timestamp()) * 1000


def due(expression, since, hours=4, zone=VIENNA):
    """The due times within some hours, as the local clock and its offset show them."""
    cron, at, end = Cron(expression, zone), milliseconds(since), milliseconds(since + timedelta(hours=hours))
    found = []
    while (at := cron.after(at)) < end:
        found.append(datetime.fromtimestamp(at // 1000, UTC).astimezone(ZoneInfo(zone)).strftime("%H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("expression", "since", "expected"),
    [
        ("30 1 * * *", FORWARD, ["01:30 +0100"]),
        ("30 2 * * *", FORWARD, ["03:00 +0200"]),
        ("0 3 * * *", FORWARD, ["03:00 +0200"]),
        ("*/30 2 * * *", FORWARD, ["03:00 +0200"]),
        ("*/30 2,3 * * *", FORWARD, ["03:00 +0200", "03:30 +0200"]),
        ("45 * * * *", FORWARD, ["01:45 +0100", "03:45 +0200", "04:45 +0200"]),
        ("30 2 * * *", BACK, ["02:30 +0200"]),
        ("*/30 2 * * *", BACK, ["02:00 +0200", "02:30 +0200"]),
        ("0 3 * * *", BACK, ["03:00 +0100"]),
        ("30 * * * *", BACK, ["01:30 +0200", "02:30 +0200", "02:30 +0100", "03:30 +0100", "04:30 +0100"]),
    ],
)
def test_a_local_time_that_is_left_out_or_shown_twice_is_due_once(expression, since, expected):
    assert due(expression, since) == expected


def test_a_zone_that_is_put_back_by_half_an_hour_shows_times_twice_too():
    zone = "Australia/Lord_Howe"
    assert due("45 1 * * *", datetime(2026, 4, 5, 0, tzinfo=ZoneInfo(zone)), 6, zone) == ["01:45 +1100"]


ZONES = [VIENNA, "UTC", "America/St_Johns"]
EXPRESSIONS = ["30 2 * * *", "*/20 1-3 * * *", "*/15 * * * *", "5 * * * 0", "0 0 1 * *", "*/10 * 2 * * *"]


@given(
    st.sampled_from(EXPRESSIONS),
    st.integers(1_770_000_000, 1_800_000_000),
    st.sampled_from(ZONES),
)
def test_the_last_and_the_next_due_time_agree(expression, at, zone):
    cron = Cron(expression, zone)
    following = cron.after(at * 1000)
    assert following > at * 1000
    assert cron.upto(following) == cron.upto(following + 999) == following
    assert cron.upto(following - 1) <= at * 1000
    assert cron.after(cron.upto(at * 1000)) == following


@given(st.sampled_from(EXPRESSIONS), st.integers(-200, 200), st.sampled_from([FORWARD, BACK]))
def test_they_agree_where_clocks_are_changed(expression, minutes, around):
    cron, at = Cron(expression, VIENNA), milliseconds(around) + minutes * 60_000
    assert cron.after(cron.upto(at)) == cron.after(at)
    assert cron.upto(cron.after(at)) == cron.after(at)


@pytest.mark.parametrize(
    ("expression", "zone", "why"),
    [
        ("* * * *", "UTC", "no cron expression"),
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("0 0 * * *", "Europe/Nowhere", "no time zone"),
    ],
)
def test_what_is_none_is_refused(expression, zone, why):
    with pytest.raises(DeclarationError, match=why):
        Cron(expression, zone)
