"""Keys are texts that sort as their values do."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.declare.keys import KeyForm, encoder, key_text, optional

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6)
NAMES = st.text(st.sampled_from("ab\x01\x1e\x20\x7fü\U0001f6f6"), min_size=1, max_size=4)
ZONES = st.timezones() | st.just(UTC)
SORTED = {
    str: TEXTS,
    int: st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    float: st.floats(allow_nan=False) | st.integers(-3, 3),
    bool: st.booleans(),
    date: st.dates(),
    datetime: st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES),  # noqa: DTZ001 - it gets a zone
}


@st.composite
def two_of_a_kind(draw):
    kind = draw(st.sampled_from(list(SORTED)))
    return kind, draw(SORTED[kind]), draw(SORTED[kind])


@given(two_of_a_kind())
def test_texts_compare_as_their_values_do(case):
    kind, one, other = case
    encode = encoder(kind)
    if kind is datetime:
        one, other = one.astimezone(UTC), other.astimezone(UTC)
    assert (encode(one) < encode(other), encode(one) == encode(other)) == (one < other, one == other)


@given(NAMES, NAMES, two_of_a_kind(), st.booleans(), st.booleans())
def test_the_bounds_of_a_partition_hold_its_sort_values_between_two_others_and_no_other_partition(
    partition, elsewhere, case, bounded_after, bounded_before
):
    kind, low, value = case
    form = KeyForm(key_text, encoder(kind))
    after, before = low if bounded_after else None, low if bounded_before else None
    start, end = form.bounds(partition, after, before)
    encode = encoder(kind)
    inside = (after is None or encode(value) > encode(low)) and (before is None or encode(value) < encode(low))
    assert (start <= form.text(partition, value) < end) == inside
    assert elsewhere == partition or not start <= form.text(elsewhere, value) < end


def test_a_time_sorts_by_its_moment_whatever_its_zone():
    encode = encoder(datetime)
    east = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert encode(east) == encode(datetime(2026, 1, 1, 7, tzinfo=UTC)) == "2026-01-01T07:00:00.000000+00:00"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (str, 5, "a text of at most 512"),
        (str, "a\0b", "without NUL"),
        (str, "x" * 513, "at most 512"),
        (int, 2**63, "64 bits"),
        (int, True, "64 bits"),
        (int, 1.5, "64 bits"),
        (float, float("nan"), "a number"),
        (float, 2**53 + 1, "neighbours"),
        (bool, 1, "true or false"),
        (date, datetime(2026, 1, 1, tzinfo=UTC), "a date"),
        (datetime, datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001 - the point
        (datetime, datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), "years 1 to 9999"),
    ],
)
def test_what_has_no_place_in_the_order_is_refused(kind, value, message):
    with pytest.raises(ValueError, match=message):
        encoder(kind)(value)


def test_a_partition_cannot_hold_the_separator():
    with pytest.raises(ValueError, match="cannot hold U\\+001F"):
        KeyForm(key_text, encoder(str)).text("a\x1fb", "c")


@pytest.mark.parametrize(
    ("hint", "like"), [(int | None, int), (Literal["a", "b"], str), (Literal[1, "b"], None), (list[str], None)]
)
def test_the_type_of_a_field_says_how_it_is_written(hint, like):
    assert encoder(hint) == (encoder(like) if like else None)
    assert optional(hint) == (hint == int | None)
