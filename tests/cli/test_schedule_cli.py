"""`proa schedule`: what it prints, and what its exit code says."""

import json

import pytest

from proa.cli.output import FAILED, OK
from proa.cli.schedule import listed, pause, resume, run
from proa.cli.table import Asking
from proa.errors import NotFound, RegionSilent


def told(name, of="", **more):
    counts = {"paused": False, "fired": 7, "failed": 1, "skipped": 2, "error": "", "failing": "", "attempts": 0}
    times = {"timing": "every 30 s", "next": 1_800_000_000.0, "last": None}
    return {"schedule": name, "of": of, **times, **counts, **more}


class Regions(Asking):
    """Some regions' answers, in place of a running system; who is not among them does not answer."""

    def __init__(self, *, as_json=False, deaf=(), **lists):
        self.json = as_json
        self._lists = lists
        self._deaf = deaf
        self.asked = []

    def system(self, _, part):
        assert part == "schedules"
        return self

    def regions(self, _):
        return ("eu", "us")

    def ask_all(self, path):
        assert path == ""
        return {name: {"schedules": listed} for name, listed in self._lists.items()}

    def ask(self, region, method, path, body):
        self.asked.append((region, method, path, body))
        if region in self._deaf:
            raise RegionSilent(region, "refused")
        return {"schedule": "sweep", "of": [one["of"] for one in self._lists[region]]}


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "ok"),
        ({"paused": True, "next": None}, "paused"),
        ({"failing": "KeyError: 'a'", "attempts": 3}, "failing: KeyError: 'a' (3 times)"),
        ({"error": "KeyError: 'a'"}, "last one given up: KeyError: 'a'"),
    ],
)
def test_each_schedule_is_shown_with_the_region_that_runs_it(capsys, more, state):
    code = listed("app", common=Regions(us=[told("sweep", **more)], eu=[]))
    due = "-" if more.get("paused") else "2027-01-15T08:00:00Z"
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["sweep", "-", "every", "30", "s", "us", due, "-", "7", "1", "2", *state.split()]
    assert code == (FAILED if "failing" in more else OK)


def test_a_region_that_does_not_answer_may_run_what_is_not_shown(capsys):
    assert listed("app", common=Regions(as_json=True, eu=[told("sweep")])) == FAILED
    assert [one["region"] for one in json.loads(capsys.readouterr().out)["schedules"]] == ["eu"]


@pytest.mark.parametrize(("command", "what"), [(run, "run"), (pause, "pause"), (resume, "resume")])
def test_a_command_acts_where_the_schedule_is_run(capsys, command, what):
    regions = Regions(eu=[told("sweep", "eu")], us=[told("sweep", "us")])
    assert command("app", "sweep", why="asked", common=regions) == OK
    assert regions.asked == [(name, "POST", f"sweep/{what}", {"why": "asked"}) for name in ("eu", "us")]
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["sweep", "eu", "eu"],
        ["sweep", "us", "us"],
    ]


def test_it_fails_where_nobody_runs_the_schedule_or_answers(capsys):
    with pytest.raises(NotFound, match="no region that answers runs a schedule 'sweep'"):
        run("app", "sweep", common=Regions(eu=[told("other")]))
    assert run("app", "sweep", common=Regions(deaf=["eu"], eu=[told("sweep")])) == FAILED
    assert "eu does not answer (refused)" in capsys.readouterr().err
