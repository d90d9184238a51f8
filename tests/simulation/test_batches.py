"""The batches of `make simulate`: which there are, that one crew runs any of them, and that a failure ends them."""

from contextlib import nullcontext

from proa.simulation.batch import SimOptions
from proa.simulation.profiles import PROFILES
from simulation import batches
from simulation.batches import FEW, MANY, plan, run_any

ALL = list(plan(120, 24))


def test_every_app_goes_through_every_profile_in_hundreds_of_worlds():
    apart = {"rot", "dependency"}
    worlds = {profile: [options.seeds for _, options in ALL if options.profile == profile] for profile in PROFILES}
    for profile in PROFILES.keys() - apart:
        assert sorted(worlds[profile]) == [24] * len(FEW) + [120] * len(MANY)
    assert worlds["dependency"] == [24]


def test_one_crew_runs_cases_of_any_app():
    """A worker was told of one app, and runs each case on the app that the case names."""
    for target, _ in (ALL[0], ALL[-1]):
        (case,) = SimOptions(seeds=1, requests=4, duration_s=1).cases(target, lambda _: ())
        assert run_any(None, case).violations == ()


def test_the_first_batch_that_fails_ends_the_others(monkeypatch):
    codes = [0, 0, 3, 0]
    monkeypatch.setattr(batches, "crew", lambda *_: nullcontext([]))
    monkeypatch.setattr(batches, "simulate", lambda *_: codes.pop(0))
    assert batches.main([]) == 3
    assert codes == [0]
