"""Throttles: the law of the bucket, and that memory stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy import throttle
from proa.core.policy.throttle import Buckets, Throttle
from proa.errors import DeclarationError


@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_in_no_stretch_of_time_more_is_taken_than_the_rate_and_one_burst(rate, burst, gaps):
    buckets, now, taken_at = Buckets(rate, burst), 100.0, []
    for gap in gaps:
        now += gap
        if buckets.take("a", now) > 0:
            taken_at.append(now)
    for first in range(len(taken_at)):
        for last in range(first, len(taken_at)):
            assert last - first + 1 <= rate * (taken_at[last] - taken_at[first]) + burst + 1e-6


@given(rate=st.floats(0.5, 50), burst=st.integers(1, 20), gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_who_waits_as_long_as_told_is_let_in(rate, burst, gaps):
    buckets, now = Buckets(rate, burst), 100.0
    for gap in gaps:
        now += gap
        if (wait := buckets.take("a", now)) < 0:
            now += -wait + 1e-6
            assert buckets.take("a", now) > 0


@given(gaps=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 8)), min_size=1, max_size=80))
def test_forgetting_full_buckets_changes_no_decision(gaps):
    together, alone, now = Buckets(1, 4), {key: Buckets(1, 4) for key in "abc"}, 100.0
    for each in alone.values():
        each._turn_at = float("inf")  # these never forget
    for key, gap in gaps:
        now += gap
        assert together.take(key, now) == pytest.approx(alone[key].take(key, now))


def test_what_was_not_asked_for_while_a_bucket_fills_twice_is_forgotten():
    buckets = Buckets(10, 10)
    for client in range(1000):
        buckets.take(str(client), 100.0)
    assert len(buckets) == 1000
    for second in range(1, 4):
        buckets.take("last", 100.0 + second)
    assert len(buckets) <= 2


def test_a_flood_of_made_up_clients_is_bounded_and_lifts_nobodys_limit(monkeypatch):
    monkeypatch.setattr(throttle, "BUCKETS_MAX", 100)
    buckets = Buckets(1, 2)
    let_in = sum(buckets.take(str(client), 100.0) > 0 for client in range(10_000))
    assert len(buckets) == 100
    assert let_in <= 100 + throttle.SHARED * 2
    assert [buckets.take("7", 100.0) > 0 for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_per_s": 0},
        {"rate_per_s": 1, "burst": 0.5},
        {"rate_per_s": 1, "per": "planet"},
        {"rate_per_s": 1, "region_share": 2},
    ],
)
def test_a_throttle_that_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(DeclarationError, match="Throttle"):
        Throttle(**wrong)
