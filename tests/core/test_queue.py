"""Messages: their keys sort as they are due, failures lead to another attempt or to the dead letters."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.retry import Retry
from proa.core.queue import (
    HISTORY_MAX,
    Again,
    Attempt,
    Dead,
    Envelope,
    Spot,
    band_of,
    failed,
    fingerprint,
    prefix,
    spot,
)
from proa.core.trace import own_trace

NAMES = st.text("abc.-_", min_size=1, max_size=5)
SPOTS = st.builds(Spot, NAMES, NAMES, st.sampled_from("0159"), st.integers(0, 10**13 - 1), NAMES, NAMES | st.just(""))
RETRY = Retry(attempts=3, base_s=1.0, cap_s=10.0, jitter="none")


def attempt(at=100.0, error="ValueError", said="no such sku 17"):
    return Attempt(at, "eu", error, said, 0.1)


def after(envelope, retry=RETRY, tried=None, **more):
    return failed("key", envelope, tried or attempt(), retry, lambda: 0.5, **more)


@given(SPOTS)
def test_a_key_says_where_its_message_stands(where):
    assert spot(where.key) == where


@given(SPOTS, SPOTS)
def test_keys_of_a_band_sort_by_when_they_are_due(one, other):
    other = msgspec.structs.replace(other, queue=one.queue, home=one.home, band=one.band)
    if one.due_ms != other.due_ms:
        assert (one.key < other.key) == (one.due_ms < other.due_ms)


@given(SPOTS, NAMES, NAMES)
def test_a_prefix_finds_the_keys_of_its_queue_and_home_and_no_others(where, queue, home):
    assert where.key.startswith(prefix(queue, home)) == ((where.queue, where.home) == (queue, home))


@given(SPOTS, st.floats(0, 10**9))
def test_a_message_that_is_handed_out_later_leaves_its_key(where, at):
    assert where.later(at).key > where.key


def test_a_groups_messages_are_in_one_band_whatever_their_priority():
    assert {band_of(priority, "customer-7") for priority in range(10)} == {band_of(5, "customer-7")}
    assert band_of(5, "") == "5"


def test_a_failed_attempt_is_counted_and_remembered():
    verdict = after(Envelope("m", b"", 90.0, "u"))
    assert verdict == Again(Envelope("m", b"", 90.0, "u", receives=1, history=(attempt(),)), 101.0)


def test_the_last_attempt_leads_to_the_dead_letters():
    verdict = after(Envelope("m", b"", 90.0, "u", receives=2))
    assert isinstance(verdict, Dead)
    assert (verdict.envelope.receives, verdict.error, verdict.at) == (3, "ValueError", 100.0)


def test_what_no_other_attempt_can_cure_is_given_up_at_once():
    assert isinstance(after(Envelope("m", b"", 90.0, "u"), curable=False), Dead)


def test_a_message_that_is_too_old_is_given_up():
    assert isinstance(after(Envelope("m", b"", 90.0, "u"), Retry(attempts=9, timeout_s=5.0)), Dead)
    assert isinstance(after(Envelope("m", b"", 96.0, "u"), Retry(attempts=9, timeout_s=5.0)), Again)


def test_what_the_handler_asks_for_is_waited_at_least():
    verdict = after(Envelope("m", b"", 90.0, "u"), retry_after_s=30.0)
    assert verdict.at == 131.0


def test_an_attempt_that_was_claimed_is_counted_once():
    verdict = after(Envelope("m", b"", 90.0, "u", receives=1, running="unit"))
    assert (verdict.envelope.receives, verdict.envelope.running) == (1, "")


def test_a_long_history_keeps_the_first_attempt_and_the_latest():
    envelope = Envelope("m", b"", 0.0, "u")
    for number in range(HISTORY_MAX + 5):
        envelope = after(envelope, Retry(attempts=99), attempt(float(number))).envelope
    assert [one.at for one in envelope.history] == [0.0, *map(float, range(6, HISTORY_MAX + 5))]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("E", "no such sku 17"), ("E", "no such sku 4711"), False),
        (("E", "no such sku 17"), ("E", "no such sku 42"), True),
        (("E", "took 12 ms\nat line 3"), ("E", "took 34 ms\nat line 999"), True),
        (("E", "gone"), ("F", "gone"), False),
    ],
)
def test_like_errors_have_one_fingerprint(one, other, alike):
    assert (fingerprint(*one) == fingerprint(*other)) == alike


UNIT = "01a231ca285858931342e90000012090"


@pytest.mark.parametrize(
    ("unit", "trace", "kept"),
    [
        (UNIT, own_trace(UNIT), ("", "")),
        (UNIT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ("", ...)),
        ("other", own_trace("other"), ("other", "")),
    ],
)
def test_what_an_id_tells_of_its_unit_is_not_kept_twice(unit, trace, kept):
    envelope = Envelope.sent(f"{UNIT}0003", b"", 1.0, unit, trace, {})
    assert (envelope.sender, envelope.traceparent) == (unit, trace)
    assert (envelope.unit, envelope.trace) == tuple(trace if one is ... else one for one in kept)
