"""Clients act in bursts."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from proa.simulation.workloads.pace import BURST, WITHIN_S, instants


@given(st.integers(), st.integers(0, 200), st.floats(1, 100))
def test_every_request_has_its_instant_within_the_run(seed, requests, duration_s):
    drawn = instants(Random(seed), requests, duration_s)
    assert len(drawn) == requests
    assert all(0 <= instant <= duration_s for instant in drawn)


def test_most_requests_have_company():
    drawn = sorted(instants(Random(1), 90, 1000.0))
    alone = [
        instant
        for before, instant, after in zip([-1.0, *drawn], drawn, [*drawn[1:], 1e9], strict=False)
        if instant - before > WITHIN_S and after - instant > WITHIN_S
    ]
    assert len(alone) <= 90 // BURST // 4


@given(st.integers(), st.integers(0, 100), st.integers(0, 100))
def test_fewer_requests_are_the_first_of_more(seed, few, more):
    few, more = sorted([few, more])
    assert instants(Random(seed), few, 20.0) == instants(Random(seed), more, 20.0)[:few]
