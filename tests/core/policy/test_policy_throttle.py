"""Throttles: the law of the bucket, and that memory stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy import throttle
from proa.core.policy.bucket import Bucket
from proa.core.policy.throttle import Buckets, Throttle
from proa.errors import DeclarationError


@given(gaps=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 8)), min_size=1, max_size=80))
def test_forgetting_full_buckets_changes_no_decision(gaps):
    together, alone, now = Buckets(Bucket(1, 4)), {key: Buckets(Bucket(1, 4)) for key in "abc"}, 100.0
    for each in alone.values():
        each._turn_at = float("inf")  # these never forget
    for key, gap in gaps:
        now += gap
        assert together.take(key, now) == pytest.approx(alone[key].take(key, now))


def test_what_was_not_asked_for_while_a_bucket_fills_twice_is_forgotten():
    buckets = Buckets(Bucket(10, 10))
    for client in range(1000):
        buckets.take(str(client), 100.0)
    assert len(buckets) == 1000
    for second in range(1, 4):
        buckets.take("last", 100.0 + second)
    assert len(buckets) <= 2


def test_a_flood_of_made_up_clients_is_bounded_and_lifts_nobodys_limit(monkeypatch):
    monkeypatch.setattr(throttle, "BUCKETS_MAX", 100)
    buckets = Buckets(Bucket(1, 2))
    let_in = sum(buckets.take(str(client), 100.0) > 0 for client in range(10_000))
    assert len(buckets) == 100
    assert let_in <= 100 + throttle.SHARED * 2
    assert [buckets.take("7", 100.0) > 0 for _ in range(3)] == [True, False, False]


def test_a_region_allows_its_share_of_the_rate_and_a_burst_that_fits_it():
    shares = [Throttle(90), Throttle(90, burst=5), Throttle(90, region_share=0.5), Throttle(2)]
    buckets = [throttle.bucket(3) for throttle in shares]
    assert buckets == [Bucket(30, 30), Bucket(30, 5), Bucket(45, 45), Bucket(2 * (1 / 3), 1)]


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
