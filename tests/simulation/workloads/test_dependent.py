"""Transfers through a bank in trouble: what holds, holds; what is broken on purpose is found."""

import pytest

from proa.runtime.unit import Unit
from proa.simulation.case import Case
from proa.simulation.scenario import run_case
from proa.simulation.workloads import dependent

TARGET = "proa.simulation.workloads.dependent:app"


def case(seed):
    return Case(TARGET, seed, profile="dependency", requests=60, duration_s=12)


def found(seeds=12):
    """What is found first."""
    runs = (run_case(dependent.app, case(seed)).violations for seed in range(seeds))
    return next(filter(None, runs))[0].invariant


@pytest.mark.parametrize("seed", range(4))
def test_every_promise_holds_while_the_bank_is_in_trouble(seed):
    run = run_case(dependent.app, case(seed))
    assert run.violations == ()
    assert run.operations_ok >= 20


def test_the_same_seed_gives_the_same_run():
    first, second = (run_case(dependent.app, case(3)) for _ in range(2))
    assert (first.trace_hash, first.coverage) == (second.trace_hash, second.coverage)


def test_troubles_of_the_bank_are_counted_where_requests_met_them():
    coverage = [run_case(dependent.app, case(seed)).coverage for seed in range(6)]
    assert {kind for each in coverage for kind in each} >= {f"dependency {how}" for how in ("failing", "slow", "gone")}


def test_a_guess_that_does_not_say_so_is_found(monkeypatch):
    monkeypatch.setattr(Unit, "degrade", lambda *_: None)
    assert found() == "a guess says that it is one"


def test_a_bank_that_forgets_is_found(monkeypatch):
    def make(self, id, amount):
        self.asked[id] += 1
        self.made[id] = dependent.Made(id, amount, f"receipt {self.asked.total()}")
        return self.made[id]

    monkeypatch.setattr(dependent.Ledger, "make", make)
    assert found() in ("a transfer is made once", "every transfer was made")
