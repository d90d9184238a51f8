"""Pace: fewer runs while the store is behind, one more at a time when it is not; rates are spaced evenly."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.pace import BEHIND_S, BURST_S, Meter, Pace


def test_a_slow_commit_halves_what_is_allowed_and_quick_ones_give_it_back_one_by_one():
    pace = Pace(8)
    pace.committed(2 * BEHIND_S, 100.0)
    assert pace.allowed == 4
    for _ in range(3):
        pace.committed(0.01, 101.0)
    assert pace.allowed == 7


def test_runs_that_waited_for_one_commit_say_so_once():
    pace = Pace(8)
    for _ in range(5):
        pace.committed(1.0, 100.0)
    assert pace.allowed == 4


@given(st.lists(st.floats(0, 10)))
def test_at_least_one_run_is_allowed_and_never_more_than_declared(tooks):
    pace = Pace(5)
    for at, took_s in enumerate(tooks):
        pace.committed(took_s, at * 100.0)
        assert 1 <= pace.allowed <= 5


@given(st.floats(1, 1000), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_a_rate_is_kept_but_for_a_short_burst(rate, pauses):
    pace, now = Pace(5, rate), 0.0
    for begun, pause in enumerate(pauses, 1):
        now += pause
        now += pace.wait_s(now)
        pace.began(1, now)
        assert begun <= (now + BURST_S) * rate + 1 + 1e-6


def test_without_a_rate_nobody_waits():
    pace = Pace(5)
    pace.began(1000, 0.0)
    assert pace.wait_s(0.0) == 0.0


def test_a_meter_forgets_with_time():
    meter = Meter()
    for second in range(100):
        for _ in range(5):
            meter.mark(float(second))
    assert 4.5 < meter.per_s(99.0) < 5.5
    assert meter.per_s(200.0) < 0.01
    assert meter.count == 500
