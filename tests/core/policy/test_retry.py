"""Retry: full jitter between nothing and a growing, capped ceiling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.failures import retry_after_s
from proa.core.policy.retry import Retry
from proa.errors import DeclarationError, TooManyRequests

SHARES = st.floats(0, 1, exclude_max=True)


def nearly_one():
    return 0.999


def test_the_longest_wait_doubles_up_to_the_cap():
    retry = Retry(attempts=6, base_s=0.1, cap_s=0.5, jitter="none")
    assert [retry.delay(attempt, nearly_one) for attempt in range(1, 7)] == [0.1, 0.2, 0.4, 0.5, 0.5, None]


def test_no_wait_follows_the_last_attempt():
    assert Retry(attempts=1).delay(1, nearly_one) is None


@given(attempt=st.integers(1, 5000), share=SHARES, multiplier=st.floats(1, 1e6))
def test_full_jitter_lies_between_nothing_and_the_longest_wait(attempt, share, multiplier):
    retry = Retry(attempts=6000, base_s=0.1, cap_s=7, multiplier=multiplier)
    waited_s = retry.delay(attempt, lambda: share)
    assert 0 <= waited_s <= retry.longest_s(attempt) <= 7


@given(attempt=st.integers(1, 100), share=SHARES)
def test_equal_jitter_waits_at_least_half(attempt, share):
    retry = Retry(attempts=200, jitter="equal")
    assert retry.longest_s(attempt) / 2 <= retry.delay(attempt, lambda: share) <= retry.longest_s(attempt)


@given(attempt=st.integers(1, 9), share=SHARES, asked=st.floats(0, 1000))
def test_what_the_other_side_asks_for_is_never_undercut(attempt, share, asked):
    assert Retry(attempts=10).delay(attempt, lambda: share, asked) >= asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"base_s": -1},
        {"base_s": 2, "cap_s": 1},
        {"multiplier": 0.5},
        {"jitter": "some"},
        {"timeout_s": 0},
    ],
)
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError, match=list(wrong)[-1]):
        Retry(**wrong)


def test_failures_are_told_by_class_or_by_a_function():
    assert Retry(retry_on=(TimeoutError,)).cures(TimeoutError())
    assert not Retry(retry_on=(TimeoutError,)).cures(ValueError())
    assert Retry(retry_on=lambda error: "again" in str(error)).cures(ValueError("again"))


@pytest.mark.parametrize(("value", "asked"), [("3", 3.0), ("-1", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
def test_retry_after_is_read_from_a_failures_headers(value, asked):
    assert retry_after_s(TooManyRequests(headers={"retry-after": value})) == asked


def test_a_failure_may_say_itself_how_long_to_wait():
    error = OSError()
    error.retry_after_s = 2
    assert retry_after_s(error) == 2.0
    assert retry_after_s(OSError()) is None
