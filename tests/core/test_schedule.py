"""Schedules, as values: which tick is next, and what becomes of those that were missed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.schedule import (
    Every,
    Idle,
    Pass,
    Policy,
    Run,
    Standing,
    Wait,
    asked,
    born,
    claimed,
    dealt_with,
    fired,
    given_up,
    offset_ms,
    paused,
    resumed,
    step,
)

MINUTE = Every(60_000)


def after(minutes, seconds=0):
    return (minutes * 60 + seconds) * 1000


def test_a_schedule_that_is_new_owes_nothing_of_before():
    assert step(MINUTE, born(after(10, 30)), Policy(), after(10, 59)) == Wait(after(11))


def test_a_tick_is_due_at_its_time():
    assert step(MINUTE, Standing(after(10)), Policy(), after(11) - 1) == Wait(after(11))
    assert step(MINUTE, Standing(after(10)), Policy(), after(11)) == Run(after(11))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy("skip", late_ms=60_000), Run(after(15), skipped=4)),
        (Policy("skip", late_ms=20_000), Pass(after(15), skipped=5)),
        (Policy("latest"), Run(after(15), skipped=4)),
        (Policy("all"), Run(after(11))),
        (Policy("all", most=2), Run(after(14), skipped=3)),
        (Policy("all", most=5), Run(after(11))),
    ],
)
def test_what_becomes_of_the_ticks_of_five_minutes_away(policy, expected):
    assert step(MINUTE, Standing(after(10)), policy, after(15, 30)) == expected


def test_catching_up_with_all_runs_each_missed_tick_in_order():
    standing, runs = Standing(after(10)), []
    while isinstance(run := step(MINUTE, standing, Policy("all"), after(13, 5)), Run):
        runs.append(run.due_ms)
        standing = fired(standing, run, after(13, 5))
    assert runs == [after(11), after(12), after(13)]
    assert standing == Standing(after(13), fired=3, fired_ms=after(13, 5))


def test_a_clock_that_jumps_back_waits():
    standing = fired(Standing(after(10)), Run(after(11)), after(11))
    assert step(MINUTE, standing, Policy(), after(3)) == Wait(after(12))


def test_a_paused_schedule_is_idle_and_goes_on_with_what_is_due_after_it_was_resumed():
    standing = paused(Standing(after(10)))
    assert step(MINUTE, standing, Policy(), after(20)) == Idle()
    assert step(MINUTE, resumed(standing, after(20, 1)), Policy(), after(20, 2)) == Wait(after(21))
    assert resumed(Standing(after(10)), after(20)) == Standing(after(10))


def test_a_run_that_a_person_asked_for_comes_first_and_leaves_the_due_times_alone():
    standing = asked(paused(Standing(after(10))), after(10, 5))
    assert asked(standing, after(10, 7)) == standing
    run = step(MINUTE, standing, Policy(), after(10, 8))
    assert run == Run(after(10, 5), asked=True)
    assert fired(standing, run, after(10, 9)) == Standing(after(10), paused=True, fired=1, fired_ms=after(10, 9))


def test_a_tick_that_is_given_up_is_dealt_with_and_says_why():
    assert given_up(claimed(Standing(1)), Run(after(1), 2), "no") == Standing(after(1), failed=1, skipped=2, error="no")


@given(st.integers(1, 10**6), st.integers(0, 10**13))
def test_a_rate_is_due_at_multiples(every_ms, at_ms):
    rate = Every(every_ms)
    assert rate.upto(at_ms) <= at_ms < rate.after(at_ms) == rate.upto(at_ms) + every_ms
    assert rate.upto(rate.after(at_ms)) == rate.after(at_ms)


@given(
    st.sampled_from(["skip", "latest", "all"]),
    st.integers(1, 20),
    st.lists(st.integers(-500, 3000), max_size=50),
    st.integers(0, 5000),
)
def test_whatever_the_clock_does_due_times_only_rise(catch_up, most, jumps, late_ms):
    timing, policy, now_ms = Every(100), Policy(catch_up, late_ms, most), 10_000
    standing, runs = born(now_ms), []
    for jump in jumps:
        now_ms += jump
        match step(timing, standing, policy, now_ms):
            case Run(due_ms) as run:
                assert due_ms <= now_ms
                runs.append(due_ms)
                standing = fired(standing, run, now_ms)
            case Pass() as passed:
                standing = dealt_with(standing, passed)
    assert runs == sorted(set(runs))


def test_what_was_decided_before_never_takes_the_row_back():
    assert dealt_with(Standing(after(12)), Run(after(11))).due_ms == after(12)


def test_jitter_is_the_same_each_time_and_spread():
    offsets = [offset_ms(f"schedule_{number}", "", 60_000) for number in range(1000)]
    assert offsets == [offset_ms(f"schedule_{number}", "", 60_000) for number in range(1000)]
    assert 0 <= min(offsets) < 1000
    assert 59_000 < max(offsets) < 60_000
    assert offset_ms("a", "eu", 60_000) != offset_ms("a", "us", 60_000)
