"""Replay files: everything that brings a failure back, readable by people, refused where it is broken."""

import json

import pytest
from rich.console import Console

from proa.errors import UsageError
from proa.simulation import replay as replays
from proa.simulation.batch import Account, Failing, SimOptions, Tally
from proa.simulation.case import Case, Fault
from proa.simulation.replay import judge, load, replay_of, save, versions
from proa.simulation.report import Narrator, show_account, show_batch, show_verdict
from proa.simulation.shrink import Shrinking, Shrunk
from simulation.planted_cases import draw, holding, planted, run_of

CASE = Case("examples/shop", 5, "partition", draw(5), 30, 10.0, "seeded")
RUN = planted(None, CASE, timeline=True)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(replays, "commit", lambda: "c0ffee-dirty")
    file = tmp_path / "new" / "shop.json"
    save(replay_of(RUN, "loss"), file)
    return file


def told(show, *values):
    out = Console(width=100, no_color=True, force_terminal=False, highlight=False)
    with out.capture() as captured:
        show(*values, out)
    return captured.get()


def test_a_file_holds_seed_versions_commit_and_faults(kept):
    content = json.loads(kept.read_text())
    assert content == {
        "app": "examples/shop",
        "seed": 5,
        "profile": "partition",
        "faults": [
            {"kind": fault.kind, "at_s": fault.at_s, "for_s": 2.0, "nodes": ["eu-west-1"], "amount": 8.0}
            for fault in draw(5)
        ],
        "requests": 30,
        "duration_s": 10.0,
        "order": "seeded",
        "invariant": "loss",
        "detail": "loss of seed 5",
        "trace_hash": RUN.trace_hash,
        "versions": versions(),
        "commit": "c0ffee-dirty",
    }
    assert sorted(content["versions"]) == ["msgspec", "proa", "python", "sqlite"]


def test_a_file_gives_the_very_case_back(kept):
    assert load(kept).case == CASE
    assert type(load(kept).case) is Case


def test_the_same_run_is_recognised(kept):
    verdict = judge(load(kept), RUN)
    assert (verdict.violated, verdict.same_trace, verdict.changed) == (True, True, {})
    assert verdict.violations == ("loss: loss of seed 5",)


def test_a_run_that_holds_now_is_recognised(kept):
    verdict = judge(load(kept), holding(None, CASE))
    assert (verdict.violated, verdict.same_trace, verdict.violations) == (False, True, ())


def test_what_has_changed_since_is_named(kept, monkeypatch):
    monkeypatch.setattr(replays, "commit", lambda: "decaf")
    monkeypatch.setattr(replays, "versions", lambda: {**versions(), "sqlite": "9.0"})
    changed = judge(load(kept), RUN).changed
    assert changed == {"commit": ("c0ffee-dirty", "decaf"), "sqlite": (versions()["sqlite"], "9.0")}


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replays.commit.cache_clear()
    try:
        assert replays.commit() == ""
    finally:
        replays.commit.cache_clear()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is no replay file: Input data was truncated"),
        ("{}", "is no replay file: Object missing required field `app`"),
        ('{"app": "x", "seed": "one"}', "is no replay file: Expected `int`, got `str` - at `$.seed`"),
    ],
)
def test_a_broken_file_is_refused_with_what_is_wrong(tmp_path, content, complaint):
    file = tmp_path / "broken.json"
    file.write_text(content)
    with pytest.raises(UsageError) as refused:
        load(file)
    assert complaint in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no\.json: no such file; `proa sim run` writes one"):
        load(tmp_path / "no.json")


# What people read.


def test_a_failing_case_is_told_as_a_story():
    was = Case("shop", 5, faults=draw(5) * 2)
    run = run_of(Case("shop", 5, faults=(Fault("partition", 1.5, 0.25, ("a", "[b]"), 3.0),)), ["loss"], timeline=True)
    said = told(show_account, Account(was, Shrunk(run, "loss", 41), run, ".proa/sim/shop.json"))
    assert [line.rstrip() for line in said.splitlines()] == [
        "",
        "seed 5 violates loss",
        "  with 1 fault, 90 requests, 20 s, shrunk from 6 faults, 90 requests, 20 s in 41 runs",
        "",
        "  fault      at       for     nodes   amount",
        "  partition  1.500 s  0.25 s  a, [b]  3",
        "",
        "  at       who        what",
        "  1.500 s  eu-west-1  killed",
        "  1.750 s  client 1   put [k] -> 503",
        "",
        "  violated loss: loss of seed 5 (operations 3, 5)",
        "",
        "  again: proa sim replay .proa/sim/shop.json",
    ]


def test_a_case_that_did_not_fail_again_is_told_as_such():
    said = told(show_account, Account(CASE, Shrunk(RUN, "loss", 1, repeated=False), RUN, "f"))
    assert "run again, the same case did not violate it" in said


def test_a_verdict_says_whether_it_is_the_same_run(kept):
    verdict = judge(load(kept), RUN)
    assert "seed 5 with 3 faults, 30 requests, 10 s: loss violated" in told(show_verdict, verdict, RUN)
    assert "the same course as in the file" in told(show_verdict, verdict, RUN)


def tally_of(*runs, seeds=10):
    tally = Tally("shop", SimOptions(seeds=seeds, profile="partition"), faults=("kill", "partition"))
    tally.begin()
    for run in runs:
        tally.add(run)
    return tally


def test_a_batch_is_told_in_figures(tmp_path):
    tally = tally_of(RUN, holding(None, Case("shop", 6, faults=draw(6))))
    tally.keep(RUN, "loss", tmp_path)
    said = " ".join(told(show_batch, tally.report()).split())
    assert said.startswith("shop: 2 worlds under profile partition: 1 violated seeds 1 to 2, ")
    assert "operations 120 of 120 succeeded faults fired kill 2, partition 2, slow disk 2 trace hash" in said
    assert "seed 5 violates loss; replay it: proa sim replay" in said


def test_many_failing_seeds_are_told_by_their_number():
    tally = tally_of(RUN)
    tally.failing = {seed: Failing(seed, "loss", "", "f") for seed in range(14)}
    assert "4 more seeds; see the JSON" in told(show_batch, tally.report())


def test_progress_is_told_now_and_then_where_there_is_no_terminal():
    out = Console(width=100, no_color=True, force_terminal=False)
    now = iter((0.0, 1.0, 6.0, 6.0))
    with out.capture() as captured, Narrator(out, lambda: next(now)) as narrator:
        narrator.begun(tally_of())
        narrator.counted(tally_of(RUN))
        narrator.counted(tally_of(RUN, holding(None, Case("shop", 6, faults=()))))
        narrator.found(Failing(5, "loss", "", "shop.json"))
        narrator.shrinking(Shrinking(CASE, 4))
        narrator.shrinking(Shrinking(CASE, 5))
    lines = captured.get().splitlines()
    assert lines[0].startswith("10 worlds of shop, ")
    assert lines[1].startswith("2 of 10 seeds, ")
    assert lines[2:] == [
        "seed 5 violates loss: shop.json",
        "seed 5 still fails with 3 faults, 30 requests, 10 s (run 4)",
    ]


def test_on_a_terminal_progress_is_a_bar():
    out = Console(width=100, force_terminal=True)
    with out.capture() as captured, Narrator(out) as narrator:
        narrator.counted(tally_of(RUN))
    assert "1/10" in captured.get()
