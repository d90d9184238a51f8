"""The token bucket: in any stretch of time no more than its rate allows, plus one burst."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.limiter import Bucket, Limit
from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError

GAPS = st.lists(st.floats(0, 2), max_size=60)


@given(rate=st.floats(0.1, 100), burst=st.floats(1, 20), gaps=GAPS)
def test_no_stretch_of_time_sees_more_than_rate_and_burst(rate, burst, gaps):
    bucket, now, taken = Bucket(Limit(rate, burst), 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now) == 0:
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = rate * (taken[last] - taken[first]) + burst
            assert last - first + 1 <= allowed + 1e-6


@given(rate=st.floats(0.1, 100), gaps=GAPS)
def test_after_the_wait_it_names_there_is_a_token(rate, gaps):
    bucket, now = Bucket(Limit(rate, 1), 0.0), 0.0
    for gap in gaps:
        now += gap
        if wait_s := bucket.take(now):
            now += wait_s + 1e-9
            assert bucket.take(now) == 0


def test_a_burst_is_taken_at_once_and_then_one_at_a_time():
    bucket = Bucket(Limit(2, burst=3), 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(0.5) == 0.0


def test_it_tells_what_is_left_and_when_it_is_full():
    bucket = Bucket(Limit(2, burst=4), 0.0)
    bucket.take(0.0, 4)
    assert (bucket.left(1.0), bucket.full_in_s(1.0)) == (2.0, 1.0)


def test_more_than_a_full_bucket_never_comes():
    assert Bucket(Limit(1, burst=2), 0.0).take(0.0, 3) == float("inf")


def test_a_clock_that_runs_backwards_refills_nothing():
    bucket = Bucket(Limit(1, burst=1), 10.0)
    assert (bucket.take(10.0), bucket.take(5.0), bucket.take(10.5)) == (0.0, 1.0, 0.5)


def test_as_a_gate_it_says_when_to_come_back():
    bucket = Bucket(Limit(4, burst=1), 0.0)
    assert (bucket.enter(0.0), bucket.enter(0.0)) == (None, Refusal("limiter", 0.25))


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 1, "burst": 0.5}])
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError):
        Limit(**wrong)
