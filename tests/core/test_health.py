"""Opinions change slowly, verdicts need a quorum, and a shared failure is nobody's."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.health import HealthPolicy, Track, observe, pause_s, policy_for, quorum, verdicts
from proa.core.roles import Node, Observation

WELL, DEAD, FAILING = Observation(True, "pass"), Observation(live=False), Observation(True, "fail", ("db",))
SURE = Track(WELL)
POLICY = HealthPolicy(fail_after=3, pass_after=2)
OBSERVERS = (("eu", ("us", "witness", "edge")), ("us", ("eu", "witness", "edge")))


def after(*samples, track=SURE):
    for sample in samples:
        track = observe(track, sample, POLICY)
    return track.reported


def seen(**opinions):
    return {
        name: {region: Observation(True, "pass") for region in ("eu", "us")} | told for name, told in opinions.items()
    }


def test_three_bad_samples_in_a_row_condemn_and_two_good_ones_acquit():
    assert after(DEAD, DEAD) == WELL
    assert after(DEAD, DEAD, DEAD) == DEAD
    assert after(WELL, track=Track(DEAD)) == DEAD
    assert after(WELL, WELL, track=Track(DEAD)) == WELL


def test_a_good_sample_in_between_starts_the_count_anew():
    assert after(DEAD, DEAD, WELL, DEAD, DEAD) == WELL


def test_there_is_no_opinion_before_enough_samples():
    assert after(WELL, track=Track()) is None
    assert after(WELL, WELL, track=Track()) == WELL
    assert after(DEAD, DEAD, track=Track()) is None
    assert after(DEAD, DEAD, DEAD, track=Track()) == DEAD


def test_down_needs_a_majority_of_all_configured_observers():
    assert verdicts(OBSERVERS, seen(us={"eu": DEAD}, witness={"eu": DEAD}))["eu"] == "down"
    assert verdicts(OBSERVERS, seen(us={"eu": DEAD}))["eu"] == "unknown"
    assert verdicts(OBSERVERS, seen(us={"eu": DEAD}, witness={}, edge={}))["eu"] == "healthy"


def test_one_observer_with_a_broken_network_condemns_nobody():
    told = verdicts(OBSERVERS, seen(us={"eu": DEAD}, edge={}, witness={}))
    assert told == {"eu": "healthy", "us": "healthy"}


def test_a_region_does_not_judge_itself():
    assert verdicts(OBSERVERS, seen(eu={"eu": WELL}, us={"eu": DEAD}, edge={"eu": DEAD}))["eu"] == "down"


def test_a_check_that_fails_in_one_region_makes_it_failing():
    told = verdicts(OBSERVERS, seen(eu={}, us={"eu": FAILING}, witness={"eu": FAILING}, edge={"eu": FAILING}))
    assert told == {"eu": "failing", "us": "healthy"}


def test_a_check_that_fails_in_every_live_region_condemns_nobody():
    everywhere = {"eu": FAILING, "us": FAILING}
    told = verdicts(OBSERVERS, seen(witness=everywhere, edge=everywhere, us={"eu": FAILING}, eu={"us": FAILING}))
    assert told == {"eu": "healthy", "us": "healthy"}


def test_a_shared_failure_does_not_hide_a_regions_own():
    own = Observation(True, "fail", ("db", "disk"))
    told = verdicts(OBSERVERS, seen(witness={"eu": own, "us": FAILING}, edge={"eu": own, "us": FAILING}))
    assert told == {"eu": "failing", "us": "healthy"}


@given(st.lists(st.sampled_from([WELL, DEAD, FAILING]), max_size=30))
def test_an_opinion_never_changes_on_fewer_samples_than_the_policy_asks(samples):
    track, since = Track(WELL), 0
    for sample in samples:
        before = track.reported
        track = observe(track, sample, POLICY)
        since = 0 if track.reported == before and track.against == 0 else since + 1
        if track.reported != before:
            assert since >= POLICY.pass_after
            since = 0


@given(st.lists(st.sampled_from([WELL, DEAD, FAILING]), min_size=1, max_size=30))
def test_only_what_is_well_and_was_so_when_last_looked_at_is_looked_at_seldom(samples):
    track = Track()
    for sample in samples:
        track = observe(track, sample, POLICY)
        seldom = pause_s(track, POLICY) == POLICY.interval_s
        assert seldom == (track.reported == sample == WELL)


def opinions(policy, phase_s, silent_s):
    """What an observer thinks of a region, sample by sample; the first after it fell silent came `phase_s` later."""
    track, at = Track(WELL), phase_s - policy.interval_s
    while at < policy.interval_s + silent_s + 5:
        track = observe(track, DEAD if 0 <= at < silent_s else WELL, policy)
        yield at, track.reported
        at += pause_s(track, policy)


@given(st.sampled_from([0.1, 1.0, 2.0, 10.0]), st.floats(0, 1, exclude_max=True), st.floats(0, 4))
def test_no_silence_shorter_than_the_window_condemns_and_any_is_noticed_within_a_probe_and_the_window(
    lease_s, phase, silent_s
):
    policy = policy_for(lease_s)
    window_s = (policy.fail_after - 1) * policy.doubt_interval_s
    found = [at for at, reported in opinions(policy, phase * policy.interval_s, silent_s) if reported == DEAD]
    if silent_s < window_s:
        assert not found
    if silent_s > policy.interval_s + window_s:
        assert found[0] <= policy.interval_s + window_s


def test_a_beat_that_finds_a_new_region_well_says_nothing_new_and_one_that_finds_it_failing_does():
    before = Node("us", "region", "boot", 1, 2.0, seen={"eu": WELL})
    assert msgspec.structs.replace(before, counter=2, seen={"eu": WELL, "ap": WELL}).repeats(before)
    assert not msgspec.structs.replace(before, seen={"eu": WELL, "ap": FAILING}).repeats(before)
    assert not msgspec.structs.replace(before, seen={"eu": DEAD, "ap": WELL}).repeats(before)
    assert not msgspec.structs.replace(before, seen={}).repeats(before)


def test_a_short_lease_is_probed_faster_and_a_senseless_policy_is_refused():
    times = [(policy.interval_s, policy.doubt_interval_s) for policy in map(policy_for, (10, 1, 0.1))]
    assert times == [(1.0, 0.5), (0.5, 0.25), (0.4, 0.2)]
    assert [quorum(3), quorum(4), quorum(5)] == [2, 3, 3]
    with pytest.raises(ValueError, match="positive"):
        HealthPolicy(doubt_interval_s=0)
