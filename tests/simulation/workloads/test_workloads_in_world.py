"""The workloads in real worlds: what holds, holds; what is broken on purpose is found."""

from pathlib import Path

import pytest

from proa.app import load_app
from proa.engines.sqlite import rows
from proa.simulation.case import Case
from proa.simulation.scenario import run_case

STANDARD = "proa.simulation.workloads.standard:"
ERRANDS = "proa.simulation.workloads.errands:errands"
PAYMENTS = str(Path(__file__).parents[3] / "examples" / "payments")


@pytest.mark.parametrize("target", [STANDARD + "active_active", STANDARD + "active_passive", ERRANDS, PAYMENTS])
@pytest.mark.parametrize("seed", range(3))
def test_every_promise_holds_under_everything(target, seed):
    run = run_case(load_app(target), Case(target, seed))
    assert run.violations == ()
    assert run.operations_ok >= 25


@pytest.mark.parametrize("target", [STANDARD + "active_active", STANDARD + "active_passive", PAYMENTS])
def test_stores_that_forget_their_keys_are_found_within_a_few_seeds(monkeypatch, target):
    monkeypatch.setattr(rows, "claim_outcome", lambda connection, outcome, *_: rows.put_outcome(connection, outcome))
    app = load_app(target)
    found = (run_case(app, Case(target, seed)).violations for seed in range(20))
    assert next(filter(None, found), ()) != ()
