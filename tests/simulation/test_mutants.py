"""The simulation finds every planted bug, in the case that found it first, and nothing there without the bug."""

from functools import cache

import pytest
from mutants import NAMES, idea, planted
from mutants._finds import PLACES, load

from proa.app import load_app
from proa.simulation.case import Case
from proa.simulation.scenario import run_case

FINDS = load()
AGAIN = "the case has changed: look for it again with `python -m tests.simulation.mutants {name}`"


def test_every_mutant_was_found_under_a_standard_profile():
    assert set(FINDS) == set(NAMES)
    assert {(find.app, find.profile) for find in FINDS.values()} <= set(PLACES)


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_says_what_is_wrong(name):
    assert idea(name).endswith(".")


@cache
def sound(case):
    """What the case finds where nothing is planted; several bugs are found in one case."""
    return run_case(load_app(case.app), case).violations


@pytest.mark.parametrize("name", sorted(FINDS))
def test_a_planted_bug_is_found_and_what_is_sound_holds(name):
    find = FINDS[name]
    case = Case(find.app, find.seed, find.profile)
    with planted(name):
        found = {violation.invariant for violation in run_case(load_app(find.app), case).violations}
    assert find.invariant in found, AGAIN.format(name=name)
    assert sound(case) == ()
