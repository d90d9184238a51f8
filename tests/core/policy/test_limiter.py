"""A dependency's limit: a token for each call, or when to come back. The law is that of `test_bucket`."""

import pytest

from proa.core.policy.bucket import Bucket
from proa.core.policy.limiter import Limit, Limiter
from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError


def test_it_lets_a_burst_pass_and_then_says_when_to_come_back():
    limiter = Limiter(Limit(4, burst=2))
    assert [limiter.enter(10.0) for _ in range(3)] == [None, None, Refusal("limiter", 0.25)]
    assert [limiter.enter(10.25), limiter.enter(10.25)] == [None, Refusal("limiter", 0.25)]


def test_a_call_that_ends_gives_nothing_back():
    limiter = Limiter(Limit(1, burst=1))
    limiter.enter(10.0)
    limiter.leave(10.0, 10.5, failed=True)
    assert limiter.enter(10.5) == Refusal("limiter", 0.5)


@pytest.mark.parametrize(("limit", "burst"), [(Limit(7), 7), (Limit(0.5), 1), (Limit(7, burst=2.5), 2.5)])
def test_a_burst_is_what_comes_in_a_second_unless_given(limit, burst):
    assert limit.bucket() == Bucket(limit.rate, burst)


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 1, "burst": 0.5}])
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError):
        Limit(**wrong)
