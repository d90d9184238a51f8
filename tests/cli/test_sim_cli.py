"""`proa sim`: what it prints and where, its files, and its exit codes. What a world does is planted."""

import json

import pytest

from proa.cli import sim
from proa.cli.main import main
from proa.simulation import batch, runner
from simulation.planted_cases import APP, DRILL, KINDS, barren, draw, holding, interrupting, planted, printing


@pytest.fixture
def shop(tmp_path, monkeypatch):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(APP)
    (tmp_path / "shop" / "drill.py").write_text(DRILL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sim, "draw", lambda *asked, **_: draw(asked[1]))
    monkeypatch.setattr(batch, "kinds", lambda *_: KINDS)
    return tmp_path


@pytest.fixture
def world(monkeypatch):
    """Decides what comes of each case."""
    return lambda run_case: monkeypatch.setattr(sim, "run_case", run_case)


def failing_file(world):
    world(planted)
    assert main(["sim", "run", "shop", "--seeds", "1", "--from-seed", "5"]) == 3
    return ".proa/sim/shop-everything-5.json"


def test_a_batch_that_holds_is_reported_as_json_and_exits_with_0(shop, world, capsys):
    world(holding)
    assert main(["sim", "run", "shop", "--seeds", "6", "--profile", "outage", "--jobs", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    per_minute, trace_hash = report.pop("scenarios_per_minute"), report.pop("trace_hash")
    assert report == {
        "app": "shop",
        "profile": "outage",
        "from_seed": 1,
        "seeds": 6,
        "held": 6,
        "violated": 0,
        "failing": [],
        "complaints": [],
        "simulated_s": 120.0,
        "coverage": {"kill": 6, "partition": 6, "slow disk": 6},
        "operations": 540,
        "operations_ok": 540,
    }
    assert per_minute > 0
    assert len(trace_hash) == 64


def test_a_violation_exits_with_3_and_the_shrunk_case_is_told_and_kept(shop, world, capsys):
    world(planted)
    assert main(["sim", "run", "shop", "--seeds", "5", "--out", "kept"]) == 3
    said = capsys.readouterr()
    assert said.out.startswith("shop: 5 worlds under profile everything: 1 violated\n")
    assert "with 1 fault, 10 requests, " in said.out
    assert "eu-west-1  killed" in said.out
    assert said.out.rstrip().endswith("again: proa sim replay kept/shop-everything-5.json")
    assert "seed 5 violates loss: kept/shop-everything-5.json\n" in said.err
    assert len(json.loads((shop / "kept" / "shop-everything-5.json").read_text())["faults"]) == 1


def test_the_story_goes_to_standard_error_where_json_is_asked_for(shop, world, capsys):
    world(planted)
    assert main(["sim", "run", "shop", "--seeds", "5", "--json"]) == 3
    said = capsys.readouterr()
    (failing,) = json.loads(said.out)["failing"]
    assert failing == {
        "seed": 5,
        "invariant": "loss",
        "detail": "loss of seed 5",
        "file": ".proa/sim/shop-everything-5.json",
    }
    assert "violated loss: loss of seed 5 (operations 3, 5)" in said.err


def test_a_batch_that_proves_too_little_exits_with_1_and_says_why(shop, world, capsys):
    world(barren)
    assert main(["sim", "run", "shop", "--seeds", "5"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "only 0 of 450 operations succeeded, less than 50%" in said


def test_ctrl_c_exits_with_130(shop, world, monkeypatch, capsys):
    monkeypatch.setattr(runner, "GRACE_S", 0.1)
    world(interrupting)
    with pytest.raises(SystemExit) as ended:
        main(["sim", "run", "shop", "--seeds", "20", "--jobs", "2"])
    assert ended.value.code == 130
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "20 worlds of shop, 2 at a time\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["shop", "--seeds", "0"], "seeds must be 1 or more, got 0"),
        (["shop", "--profile", "storm"], "outage"),
        (["shop", "--requests", "many"], "many"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_would_do(shop, arguments, complaint, capsys):
    assert main(["sim", "run", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_an_app_without_a_workload_is_refused_before_anything_runs(shop, capsys):
    (shop / "shop" / "drill.py").unlink()
    assert main(["sim", "run", "shop"]) == 1
    assert "PROA-D002 App not found: shop: there is no shop/drill.py" in capsys.readouterr().err


def test_a_failing_case_is_replayed_with_its_course_and_exits_with_3(shop, world, capsys):
    file = failing_file(world)
    capsys.readouterr()
    assert main(["sim", "replay", file]) == 3
    said = capsys.readouterr().out
    assert said.startswith("seed 5 with 1 fault, 10 requests, ")
    assert "the same course as in the file" in said
    assert "eu-west-1  killed" in said


def test_a_replay_that_holds_now_exits_with_0(shop, world, capsys):
    file = failing_file(world)
    world(holding)
    capsys.readouterr()
    assert main(["sim", "replay", file, "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["seed"], verdict["invariant"], verdict["violated"]) == (5, "loss", False)
    assert [moment["what"] for moment in verdict["run"]["timeline"]] == ["killed", "put [k] -> 503"]


def test_a_replay_warns_of_other_versions(shop, world, capsys):
    file = failing_file(world)
    content = json.loads((shop / file).read_text())
    content["versions"]["sqlite"] = "3.0"
    (shop / file).write_text(json.dumps(content))
    capsys.readouterr()
    main(["sim", "replay", file])
    assert capsys.readouterr().err.startswith("sqlite has changed: 3.0 when the file was written, 3.")


def test_what_a_handler_prints_in_a_replay_does_not_spoil_the_json(shop, world, capsys):
    file = failing_file(world)
    world(printing)
    capsys.readouterr()
    assert main(["sim", "replay", file, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["violated"] is False
    assert said.err == "a handler's own words\n"


def test_a_case_is_shrunk_on_and_written_back(shop, world, capsys):
    file = failing_file(world)
    content = json.loads((shop / file).read_text())
    content |= {"requests": 80, "faults": content["faults"] * 3}
    (shop / file).write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["sim", "shrink", file]) == 0
    assert "with 1 fault, 10 requests, " in capsys.readouterr().out
    kept = json.loads((shop / file).read_text())
    assert (len(kept["faults"]), kept["requests"], kept["invariant"]) == (1, 10, "loss")


def test_a_case_that_holds_now_is_not_shrunk(shop, world, capsys):
    file = failing_file(world)
    before = (shop / file).read_text()
    world(holding)
    assert main(["sim", "shrink", file]) == 1
    assert "loss is not violated any more; the file stays as it is" in capsys.readouterr().err
    assert (shop / file).read_text() == before


@pytest.mark.parametrize("command", ["replay", "shrink"])
def test_a_missing_or_broken_file_is_named(shop, command, capsys):
    (shop / "broken.json").write_text("{}")
    assert main(["sim", command, "no.json"]) == 2
    assert "no.json: no such file" in capsys.readouterr().err
    assert main(["sim", command, "broken.json"]) == 2
    assert "broken.json is no replay file: Object missing required field `app`" in capsys.readouterr().err
