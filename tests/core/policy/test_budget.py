"""The budget: extra calls stay a share of the calls, whatever callers would like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.budget import Budget, Purse
from proa.core.policy.retry import Failure, Retry, next_try
from proa.errors import BadRequest, BreakerOpen, DeclarationError, TooManyRequests

RETRY = Retry(attempts=3, base_s=0.1, jitter="none")


@given(ratio=st.floats(0, 1), burst=st.floats(1, 20), acts=st.lists(st.booleans(), max_size=300))
def test_extra_calls_are_never_more_than_the_ratio_and_the_burst(ratio, burst, acts):
    purse, calls, extra = Purse(Budget(ratio, burst)), 0, 0
    for is_call in acts:
        if is_call:
            purse.earn()
            calls += 1
        else:
            extra += purse.spend()
        assert extra <= ratio * calls + burst + 1e-6


def test_without_a_token_a_failure_stands():
    purse = Purse(Budget(0.1, burst=1))
    failure = Failure(1, ConnectionError())
    assert [next_try(RETRY, purse, failure, lambda: 0.5) for _ in range(2)] == [0.1, "budget"]


def test_only_what_is_tried_again_is_paid_for():
    purse = Purse(Budget(0.1, burst=1))
    failures = [
        Failure(3, ConnectionError()),
        Failure(1, BadRequest()),
        Failure(1, BreakerOpen()),
        Failure(1, ConnectionError(), left_s=0.05),
    ]
    verdicts = [next_try(RETRY, purse, failure, lambda: 0.5) for failure in failures]
    assert (verdicts, purse.tokens) == (["attempts", "cannot be cured", "refused", "deadline"], 1)


def test_no_attempt_begins_after_the_time_of_the_retry():
    retry = Retry(attempts=9, base_s=1, jitter="none", timeout_s=3)
    assert next_try(retry, None, Failure(1, OSError(), spent_s=1.5), lambda: 0) == 1
    assert next_try(retry, None, Failure(2, OSError(), spent_s=1.5), lambda: 0) == "time"


def test_what_the_other_side_asks_for_is_waited_for():
    failure = Failure(1, TooManyRequests(headers={"retry-after": "7"}))
    assert next_try(RETRY, None, failure, lambda: 0) == pytest.approx(7.1)


@pytest.mark.parametrize("wrong", [{"ratio": 2}, {"burst": 0}])
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError):
        Budget(**wrong)
