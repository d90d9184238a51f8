"""Hybrid logical time."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.time import HybridClock, out_of_bound, stamp_of, wall_of

SECONDS = st.floats(min_value=1e9, max_value=4e9)


@given(st.lists(st.one_of(SECONDS, st.integers(0, 2**62).map(lambda stamp: -stamp)), max_size=50))
def test_a_tick_is_larger_than_everything_given_or_observed_before(events):
    clock, largest = HybridClock(), 0
    for event in events:
        if event < 0:
            clock.observe(-event)
            largest = max(largest, -event)
        else:
            stamp = clock.tick(event)
            assert stamp > largest
            largest = stamp


@given(SECONDS)
def test_a_stamp_stays_within_a_millisecond_of_the_wall_clock(now):
    assert abs(wall_of(HybridClock().tick(now)) - now) <= 0.0011


def test_a_clock_that_jumps_back_goes_on_counting():
    clock = HybridClock()
    first = clock.tick(1000.0)
    assert clock.tick(500.0) == first + 1


def test_only_stamps_ahead_of_the_bound_are_out_of_it():
    now = 1_000_000.0
    assert not out_of_bound(stamp_of(now + 0.4), now, 0.5)
    assert out_of_bound(stamp_of(now + 0.6), now, 0.5)
    assert not out_of_bound(stamp_of(now - 3600), now, 0.5)
