"""Shrinking: what is left still fails, nothing in it is needless, and it ends."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.simulation.case import Case, Fault
from proa.simulation.shrink import RUNS_MAX, SECONDS_MAX, STEPS, ddmin, least, shrink
from simulation.planted_cases import planted, run_of

NOISE = tuple(Fault("kill", float(at), 1.5, ("eu-west-1",)) for at in range(1, 9))
CUT = Fault("partition", 4.0, 3.0, ("eu-west-1", "us-east-1"), 12.0)


def case_with(*faults, requests=90, duration_s=20.0):
    return Case("shop", 5, "everything", faults, requests, duration_s)


def shrunk(case, run_case=planted, clock=lambda: 0.0):
    told = []
    found = shrink(run_case(None, case), "loss", lambda case: run_case(None, case), told.append, clock)
    return found, told


def test_what_is_left_is_the_one_fault_that_matters_and_as_little_of_everything_as_fails():
    found, _ = shrunk(case_with(*NOISE[:4], CUT, *NOISE[4:]))
    (fault,) = found.run.case.faults
    assert (fault.kind, fault.at_s, fault.amount, found.run.case.requests) == ("partition", 4.0, 0.0, 10)
    assert 1.0 <= fault.for_s <= 1.05
    assert 4.0 <= found.run.case.duration_s < 20
    assert (found.complete, found.repeated, found.invariant) == (True, True, "loss")
    assert found.runs <= 60


def test_a_run_keeps_its_seed_its_rate_and_the_time_of_its_faults_while_it_is_cut_short():
    def late(app, case, *, timeline=False):
        return run_of(case, ["loss"] if case.requests / case.duration_s > 3.9 else ())

    found, _ = shrunk(case_with(CUT), late)
    assert (found.run.case.seed, found.run.case.faults, found.run.case.duration_s) == (5, (), 1.0)


def test_a_violation_of_another_invariant_is_another_bug():
    def other_when_small(app, case, *, timeline=False):
        return run_of(case, ["loss" if len(case.faults) >= 3 else "convergence"])

    found, _ = shrunk(case_with(*NOISE), other_when_small)
    assert len(found.run.case.faults) == 3
    assert [violation.invariant for violation in found.run.violations] == ["loss"]


def test_a_case_that_does_not_fail_again_is_not_shrunk():
    failing = run_of(case_with(CUT), ["loss"])
    found = shrink(failing, "loss", run_of, lambda _: None)
    assert (found.run, found.runs, found.repeated) == (failing, 1, False)


def test_the_same_case_is_shrunk_in_the_same_way():
    case = case_with(*NOISE, CUT)
    assert shrunk(case) == shrunk(case)


def test_progress_tells_each_smaller_case():
    found, told = shrunk(case_with(*NOISE, CUT))
    assert told[-1].case == found.run.case
    sizes = [(len(step.case.faults), step.case.duration_s, step.case.requests) for step in told]
    assert sizes == sorted(sizes, reverse=True)


def test_a_jump_back_in_time_becomes_a_smaller_jump_back():
    def far(app, case, *, timeline=False):
        return run_of(case, ["loss"] if any(fault.amount < -2 for fault in case.faults) else ())

    (fault,) = shrunk(case_with(Fault("bump", 1.0, 0.0, ("eu-west-1",), -30.5)), far)[0].run.case.faults
    assert -2.3 < fault.amount < -2


def test_shrinking_ends_when_its_seconds_are_over_and_says_so():
    now = iter(range(10_000))
    found, _ = shrunk(case_with(*NOISE, CUT), clock=lambda: float(next(now)))
    assert not found.complete
    assert found.runs <= SECONDS_MAX


def test_shrinking_ends_after_so_many_runs_and_says_so():
    def picky(app, case, *, timeline=False):
        return run_of(case, ["loss"] if len(case.faults) >= 100 else ())

    found, _ = shrunk(case_with(*(Fault("kill", at / 100, 1.0, ("a",)) for at in range(120))), picky)
    assert (found.complete, found.runs) == (False, RUNS_MAX)


@given(st.integers(0, 12), st.data())
def test_delta_debugging_keeps_exactly_what_a_failure_needs(size, data):
    items = tuple(range(size))
    needed = data.draw(st.sets(st.sampled_from(items))) if items else set()
    assert ddmin(items, lambda part: needed <= set(part)) == tuple(sorted(needed))


@given(st.integers(1, 7), st.data())
def test_delta_debugging_leaves_nothing_that_could_be_left_out_alone(size, data):
    items = tuple(range(size))
    every = [frozenset(some) for count in range(size) for some in combinations(items, count)]
    failing = {frozenset(items), *data.draw(st.lists(st.sampled_from(every)))}
    kept = ddmin(items, lambda part: frozenset(part) in failing)
    assert frozenset(kept) in failing
    assert [one for one in kept if frozenset(kept) - {one} in failing] == []


@given(st.integers(1, 128), st.integers(1, 128))
def test_a_number_that_fails_from_a_bound_on_comes_near_that_bound(bound, above):
    value = bound + above
    found = least(value, 1, lambda tried: tried >= bound)
    assert 0 <= found - bound <= value / 2**STEPS + 1
    assert found == round(found)


@pytest.mark.parametrize(("value", "floor", "expected"), [(0.0, 0.0, 0.0), (0.01, 0.05, 0.01), (3.0, 0.5, 0.5)])
def test_a_number_is_never_made_larger_nor_smaller_than_its_floor(value, floor, expected):
    assert least(value, floor, lambda _: True) == expected
