"""The demo plays every act and keeps every account."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from test_report import HELD

from proa.chaos import demo
from proa.chaos.options import DrillOptions

VIOLATED = msgspec.structs.replace(HELD, verdict="violated", violations=["1 was lost"])


@pytest.fixture
def played(monkeypatch):
    """The acts that were played; each takes its verdict from its app's name."""
    acts = []

    async def rehearse(target, options, launch, tell):
        acts.append((Path(target).name, options.seed, launch))
        return VIOLATED if "bad" in target else HELD

    monkeypatch.setattr(demo, "rehearse", rehearse)
    return acts


def play(*names):
    acts = tuple((name, "what", DrillOptions(seed=seed)) for seed, name in enumerate(names))
    events = []
    return asyncio.run(demo.demo(Path("apps"), lambda app: f"launch {app}", events.append, acts)), events


def test_every_act_is_played_with_a_system_of_its_own(played):
    report, events = play("one", "two")
    assert played == [("one", 0, "launch apps/one"), ("two", 1, "launch apps/two")]
    assert events == [demo.ActBegun("one", "what"), demo.ActBegun("two", "what")]
    assert (report.verdict, report.drills) == ("held", [HELD, HELD])


def test_a_violation_in_one_act_is_a_violation_of_the_demo_and_the_rest_is_played(played):
    report, _ = play("bad", "two")
    assert (report.verdict, len(played)) == ("violated", 2)


def test_the_account_is_kept_as_json(played, tmp_path):
    report, _ = play("one")
    file = tmp_path / "new" / "demo.json"
    demo.save(report, file)
    kept = json.loads(file.read_text())
    assert (kept["verdict"], kept["drills"][0]["app"]) == ("held", "payments")
