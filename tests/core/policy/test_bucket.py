"""The token bucket: in any stretch of time no more than its rate allows, plus one burst."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.bucket import FULL, Bucket

RATES, BURSTS = st.floats(0.1, 100), st.floats(1, 20)
GAPS = st.lists(st.floats(0, 3), min_size=1, max_size=60)


@given(rate=RATES, burst=BURSTS, gaps=GAPS)
def test_in_no_stretch_of_time_more_is_taken_than_the_rate_and_one_burst(rate, burst, gaps):
    bucket, full_at, now, taken_at = Bucket(rate, burst), FULL, 100.0, []
    for gap in gaps:
        now += gap
        if (taken := bucket.take(full_at, now)) > 0:
            full_at = now + taken
            taken_at.append(now)
    for first in range(len(taken_at)):
        for last in range(first, len(taken_at)):
            assert last - first + 1 <= rate * (taken_at[last] - taken_at[first]) + burst + 1e-6


@given(rate=RATES, burst=BURSTS, gaps=GAPS)
def test_who_waits_as_long_as_told_is_let_in(rate, burst, gaps):
    bucket, full_at, now = Bucket(rate, burst), FULL, 100.0
    for gap in gaps:
        now += gap
        if (taken := bucket.take(full_at, now)) < 0:
            now += -taken
            taken = bucket.take(full_at, now)
        assert taken > 0
        full_at = now + taken


@given(rate=RATES, burst=BURSTS, before=st.floats(-1000, 0))
def test_a_bucket_that_is_full_may_as_well_be_forgotten(rate, burst, before):
    bucket = Bucket(rate, burst)
    assert bucket.take(100.0 + before, 100.0) == bucket.take(FULL, 100.0)


def test_a_burst_is_taken_at_once_and_then_one_at_a_time():
    bucket, full_at, taken = Bucket(2, burst=3), FULL, []
    for _ in range(4):
        taken.append(bucket.take(full_at, 10.0))
        full_at = 10.0 + taken[-1] if taken[-1] > 0 else full_at
    assert taken == [0.5, 1.0, 1.5, -0.5]
    assert [bucket.left(each) for each in taken] == [2, 1, 0, 0]
    assert bucket.take(full_at, 10.5) > 0


def test_a_clock_that_runs_backwards_refills_nothing():
    bucket = Bucket(1, burst=1)
    assert [bucket.take(11.0, now) < 0 for now in (10.0, 5.0, 10.9, 11.0)] == [True, True, True, False]


@pytest.mark.parametrize(("bucket", "fill_s"), [(Bucket(2, 3), 1.5), (Bucket(0.5, 1), 2.0)])
def test_it_tells_how_long_an_empty_one_takes_to_fill(bucket, fill_s):
    assert bucket.fill_s == fill_s
