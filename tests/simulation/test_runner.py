"""Many seeds on many workers: each once, whoever runs it; and what becomes of workers that die, hang or refuse."""

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from proa.errors import AppNotFound, SimulationFailed, UsageError
from proa.simulation import runner
from proa.simulation.batch import SimOptions, Tally, run_batch
from proa.simulation.case import Case
from proa.simulation.profiles import kinds
from proa.simulation.replay import load
from proa.simulation.runner import crew, spread
from simulation import planted_cases
from simulation.planted_cases import (
    APP,
    KINDS,
    barren,
    draw,
    dying,
    hanging,
    holding,
    moody,
    planted,
    printing,
    raising,
)


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    return str(folder)


class Silence:
    def begun(self, tally): ...

    def counted(self, tally): ...

    def found(self, failing): ...

    def shrinking(self, progress): ...


def batch(shop, folder, run_case, **options):
    chosen = SimOptions(**{"seeds": 12, "jobs": 2, **options})
    tally = Tally("shop", chosen, faults=KINDS)
    with crew(shop, chosen.workers, run_case) as workers:
        accounts = run_batch(workers, tally, chosen.cases(shop, draw), folder, Silence())
    return tally.report(), accounts


def test_every_seed_runs_once_whoever_is_free(shop):
    cases = list(SimOptions(seeds=20).cases(shop, draw))
    with crew(shop, 2, holding) as workers:
        seeds = [run.case.seed for run in spread(workers, cases)]
    assert sorted(seeds) == list(range(1, 21))


def test_the_report_is_the_same_for_any_number_of_jobs(shop, tmp_path):
    one, _ = batch(shop, tmp_path / "one", planted, jobs=1)
    two, _ = batch(shop, tmp_path / "two", planted, jobs=2)
    assert one.trace_hash == two.trace_hash
    assert [failing.seed for failing in one.failing] == [failing.seed for failing in two.failing] == [5, 10]
    assert (one.coverage, one.operations) == (two.coverage, two.operations)
    assert one.coverage == {"kill": 12, "partition": 12, "slow disk": 12}


def test_another_seed_makes_another_trace_hash(shop, tmp_path):
    assert len({batch(shop, tmp_path, holding, seeds=2, from_seed=first)[0].trace_hash for first in (1, 2)}) == 2


def test_a_failing_seed_is_kept_as_a_file_with_its_faults_and_shrunk(shop, tmp_path):
    report, accounts = batch(shop, tmp_path / "out", planted, seeds=5)
    (failing,) = report.failing
    assert (failing.seed, failing.invariant) == (5, "loss")
    assert failing.file == str(tmp_path / "out" / "shop-everything-5.json")
    kept = load(tmp_path / "out" / "shop-everything-5.json")
    assert ([fault.kind for fault in kept.faults], kept.requests) == (["partition"], 10)
    (account,) = accounts
    assert account.run.case == kept.case
    assert account.run.timeline != ()
    assert account.was.requests == 90


def test_only_the_first_failing_seeds_are_shrunk(shop, tmp_path):
    report, accounts = batch(shop, tmp_path, planted, seeds=20)
    assert [failing.seed for failing in report.failing] == [5, 10, 15, 20]
    assert [account.was.seed for account in accounts] == [5, 10, 15]
    assert len(load(tmp_path / "shop-everything-20.json").faults) == 3


def test_a_violation_that_does_not_come_again_is_still_reported(shop, tmp_path):
    report, (account,) = batch(shop, tmp_path, moody, seeds=1, jobs=1)
    assert report.violated == 1
    assert not account.shrunk.repeated


def test_a_batch_in_which_too_little_succeeds_proves_nothing(shop, tmp_path):
    report, _ = batch(shop, tmp_path, barren)
    assert report.complaints == ("only 0 of 1080 operations succeeded, less than 50%: too few to contradict anything",)


def test_a_fault_that_never_fires_is_held_against_a_batch_that_is_long_enough(shop, tmp_path):
    report, _ = batch(shop, tmp_path, barren, seeds=300, requests=200, duration_s=1.0)
    assert report.complaints[1:] == (
        "partition never fired while requests were under way, in 300 seeds",
        "slow disk never fired while requests were under way, in 300 seeds",
    )


@pytest.mark.parametrize(
    ("dependencies", "complaint"),
    [
        ((), "profile dependency breaks what an app depends on, and this one declares no dependency"),
        (("bank",), "no request of the workload called bank, so that profile dependency broke nothing"),
    ],
)
def test_a_profile_that_can_break_nothing_of_an_app_says_so_whatever_the_seeds(dependencies, complaint):
    for profile, said in (("dependency", (complaint,)), ("outage", ())):
        tally = Tally("shop", SimOptions(seeds=1, profile=profile), dependencies, faults=KINDS)
        tally.add(holding(None, Case("shop", 1, profile, draw(1))))
        assert tally.report().complaints == said


def test_a_dependency_that_was_called_may_be_in_no_trouble_under_a_few_seeds():
    tally = Tally("shop", SimOptions(seeds=1, profile="dependency"), ("bank", "post"), faults=KINDS)
    run = holding(None, Case("shop", 1, "dependency", draw(1)))
    tally.add(msgspec.structs.replace(run, coverage={"calls of bank": 3}))
    assert tally.report().complaints == ()


def test_a_worker_that_dies_names_its_seed(shop, tmp_path):
    with pytest.raises(SimulationFailed, match="seed 7: its process ended with -9"):
        batch(shop, tmp_path, dying)


def test_a_worker_that_hangs_names_its_seed(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "STUCK_S", 0.2)
    with pytest.raises(SimulationFailed, match=r"seed 7 has not ended within 0\.2 s"):
        batch(shop, tmp_path, hanging)


def test_a_case_that_raises_names_its_seed(shop, tmp_path):
    with pytest.raises(SimulationFailed, match="seed 7: ValueError: no such port"):
        batch(shop, tmp_path, raising)


def test_an_error_of_a_case_keeps_its_code(shop, tmp_path):
    with pytest.raises(AppNotFound, match="seed 1: no app for worlds"):
        batch(shop, tmp_path, planted_cases.refusing, seeds=1)


def test_an_app_that_a_worker_cannot_load_is_told(tmp_path):
    with pytest.raises(AppNotFound, match="a worker: "), crew(str(tmp_path / "nowhere"), 1, holding):
        pass


def test_what_a_handler_prints_is_not_data(shop, tmp_path, capfd):
    batch(shop, tmp_path, printing, seeds=1)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "a handler's own words\n")


def test_no_worker_outlives_its_crew(shop, monkeypatch):
    monkeypatch.setattr(runner, "GRACE_S", 0.1)
    with crew(shop, 2, hanging) as workers:
        workers[0].ask(next(SimOptions(from_seed=7).cases(shop, draw)))
    assert [worker._process.exitcode for worker in workers] == [-signal.SIGTERM, 0]


def test_workers_end_with_the_process_that_started_them(shop):
    program = (
        "import os; from proa.simulation.runner import crew; from simulation.planted_cases import holding\n"
        f"with crew({shop!r}, 2, holding): os._exit(5)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # Workers hold the other end of its standard error: reading that to its end waits for theirs.
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, env=environment, capture_output=True, timeout=30
    )
    assert (ended.returncode, ended.stderr) == (5, b"")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds must be 1 or more, got 0"),
        ({"jobs": 0}, "jobs must be 1 or more, got 0"),
        ({"faults": -1}, "faults must be 0 or more, got -1"),
        ({"duration_s": 0.0}, "duration_s must be positive, got 0"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        SimOptions(**options)


def test_what_never_fired_is_told_of_the_kinds_of_the_profile_unless_others_are_given():
    for dependencies in ((), ("bank",)):
        tally = Tally("shop", SimOptions(seeds=1, profile="dependency"), dependencies)
        assert set(tally.report().coverage) == set(kinds("dependency", dependencies))
    assert tuple(Tally("shop", SimOptions(), faults=("kill",)).report().coverage) == ("kill",)
