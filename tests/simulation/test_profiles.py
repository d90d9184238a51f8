"""What a seed's faults are: within bounds, the same every time, and none of them depends on how many follow."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.lease import DRIFT
from proa.simulation.faults.catalogue import KINDS
from proa.simulation.faults.disks import ROT
from proa.simulation.faults.kind import SKEW_SHARE, Scene
from proa.simulation.profiles import PROFILES, draw, kinds

REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")
DEPENDENCIES = ("bank", "post")
SEEDS = range(300)

profiles = st.sampled_from(sorted(PROFILES))
towns = st.integers(1, 5).map(lambda size: tuple(f"r{number}" for number in range(size)))
draws = st.builds(
    lambda profile, seed, regions, duration_s, count: (
        regions,
        duration_s,
        count,
        draw(profile, seed, regions, duration_s, count=count, dependencies=DEPENDENCIES),
    ),
    profiles,
    st.integers(0, 2**40),
    towns,
    st.floats(1, 300),
    st.integers(0, 12),
)


@given(draws)
def test_every_fault_is_over_within_the_run(drawn):
    _, duration_s, count, faults = drawn
    assert len(faults) == count
    assert all(0 <= fault.at_s <= fault.at_s + fault.for_s <= duration_s + 0.001 for fault in faults)


@given(draws)
def test_faults_name_nodes_that_exist_and_never_all_of_them(drawn):
    regions, _, _, faults = drawn
    for fault in faults:
        assert set(fault.nodes) < ({*regions, "witness", "edge"} if not KINDS[fault.kind].depends else {"bank", "post"})
        assert len(set(fault.nodes)) == len(fault.nodes)


@given(draws)
def test_data_is_lost_once_at_most_and_never_at_the_witness(drawn):
    destroyed = [fault.nodes for fault in drawn[3] if KINDS[fault.kind].destroys]
    assert len(destroyed) <= 1
    assert ("witness",) not in destroyed


@given(draws)
def test_clocks_stay_within_the_bounds_that_were_declared(drawn):
    for fault in drawn[3]:
        if fault.kind in ("clock bump", "clock strobe"):
            assert abs(fault.amount) <= SKEW_SHARE * 0.5
        if fault.kind == "jump at a port call":
            assert 0 < fault.for_s <= SKEW_SHARE * 0.5 + 0.001
        if fault.kind == "clock skew":
            assert (1 + abs(fault.amount)) / (1 - abs(fault.amount)) <= 1 + DRIFT


@given(draws)
def test_a_majority_of_regions_lives_for_more_than_half_of_the_run(drawn):
    """At any moment at which two regions are out, two faults are under way."""
    _, duration_s, _, faults = drawn
    edges = sorted({0.0, *(fault.at_s for fault in faults), *(fault.at_s + fault.for_s for fault in faults)})
    crowded = [
        end - begin
        for begin, end in pairwise(edges)
        if sum(fault.at_s <= begin and fault.at_s + fault.for_s >= end for fault in faults) >= 2
    ]
    assert sum(crowded) <= duration_s / 2


@given(profiles, st.integers(0, 10**6), st.integers(0, 8))
def test_a_run_with_more_faults_begins_with_the_same_ones(profile, seed, count):
    scene = (REGIONS, 3.0)  # short faults: their longest length depends on how many there are
    fewer, more = (Counter(_untimed(draw(profile, seed, *scene, count=size))) for size in (count, count + 1))
    assert fewer <= more


def _untimed(faults):
    return [(fault.kind, fault.nodes) for fault in faults]


@given(profiles, st.integers(0, 10**6))
def test_the_same_seed_gives_the_same_faults(profile, seed):
    assert draw(profile, seed, REGIONS, 20) == draw(profile, seed, REGIONS, 20)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_kind_of_a_profile_appears_within_300_seeds(profile):
    drawn = Counter(
        fault.kind for seed in SEEDS for fault in draw(profile, seed, REGIONS, 20.0, dependencies=DEPENDENCIES)
    )
    assert set(drawn) == set(kinds(profile, DEPENDENCIES))
    assert min(drawn.values()) >= 5


def test_everything_is_every_kind_there_is_but_what_has_a_profile_of_its_own():
    of_dependencies = {kind for kind in KINDS if KINDS[kind].depends}
    assert set(kinds("everything", DEPENDENCIES)) == set(KINDS) - {ROT} - of_dependencies
    assert ROT in kinds("rot", ())
    assert of_dependencies < set(kinds("dependency", DEPENDENCIES))


def test_an_app_without_dependencies_meets_no_fault_of_any():
    assert not any(KINDS[kind].depends for kind in kinds("dependency", ()))
    drawn = {fault.kind for seed in SEEDS for fault in draw("dependency", seed, REGIONS, 20.0)}
    assert drawn == set(kinds("dependency", ()))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_regions_are_enough_for_every_kind(kind):
    scene = Scene(("a", "b"), 6.0, 0.5, DEPENDENCIES)
    for seed in range(50):
        nodes, for_s, _ = KINDS[kind].draw(Random(seed), scene)
        assert set(nodes) < {*scene.nodes, *DEPENDENCIES}
        assert 0 <= for_s <= scene.longest_s
