"""Merges that are wrong in ways that a team might really get them wrong are found by an author's own invariants."""

from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

from proa.app import load_app
from proa.core.replicate import siblings
from proa.core.replicate.crdt import AddWinsSet, GrowCounter
from proa.core.replicate.merge import Fields, LastWriter
from proa.engines.sqlite import forgetting
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.forgetting import Forgetting
from proa.simulation.case import Case
from proa.simulation.scenario import run_case

GAMES = str(Path(__file__).parents[2] / "examples" / "game-sessions")
SEEDS = 20
RARE = 40
"""Runs before this one do not find the rarest of them."""
FORGETTING = "a tombstone goes before every region has passed it"


def latest_only(_, states):
    """Of concurrent totals the last writer's stays."""
    return list(states[-1].entries)


def everything(_, states):
    """All elements that any side has are in the set, those taken out included."""
    return [entry for state in states for entry in state.entries]


def forgotten_untold(this, gone):
    """Tombstones go, and nothing is left to tell that a late write may be older than one."""
    return this._in.writer.executemany(
        SQL["drop_row_of_version"], [(*key, version) for key, version, _ in gone]
    ).rowcount


MUTANTS = {
    "a counter is merged by last writer": [(GrowCounter, "joined", classmethod(latest_only))],
    "rows are merged by last writer": [(Fields, "combine", lambda _, ours, theirs: LastWriter().combine(ours, theirs))],
    "a set brings back what was taken out": [(AddWinsSet, "joined", classmethod(everything))],
    "a write that was deleted comes back with a concurrent one": [(siblings, "_seen", lambda *_: False)],
    FORGETTING: [
        (forgetting, "passed_by_all", lambda *_: True),
        (Forgetting, "drop", forgotten_untold),
    ],
}


def violated(mutant, profile="everything", seeds=SEEDS, first=0):
    """The invariants that the first run violates which violates any; none where all runs hold."""
    for seed in range(first, first + seeds):
        with ExitStack() as stack:
            for piece in mutant:
                stack.enter_context(patch.object(*piece))
            run = run_case(load_app(GAMES), Case(GAMES, seed, profile=profile))
        if run.violations:
            return {violation.invariant for violation in run.violations}
    return set()


@pytest.mark.parametrize(
    ("name", "profile", "by", "first"),
    [
        ("a counter is merged by last writer", "everything", "author", 0),
        ("rows are merged by last writer", "everything", "author", 0),
        ("a set brings back what was taken out", "everything", "author", 0),
        ("a write that was deleted comes back with a concurrent one", "everything", "convergence", 0),
        (FORGETTING, "partition", "convergence", RARE),
    ],
)
def test_a_planted_bug_is_found(name, profile, by, first):
    assert by in violated(MUTANTS[name], profile, first=first)


def test_a_tombstone_that_went_too_early_does_no_harm_as_long_as_the_store_knows_that_it_went():
    assert violated(MUTANTS[FORGETTING][:1], "partition", first=RARE) == set()


def test_the_games_hold_where_nothing_is_planted():
    assert violated([], "everything", seeds=10) == set()
