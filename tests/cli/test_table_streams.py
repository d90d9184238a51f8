"""`proa table streams`: what it prints, and what its exit code says."""

import json

import pytest

from proa.cli.output import FAILED, OK
from proa.cli.streams import streams


def told(origin, failing="", **more):
    attempts, failing_s = (3, 7.4) if failing else (0, 0.0)
    shown = {"stream": "totals", "origin": origin, "position": 7, "lag": 2}
    return {**shown, "failing": failing, "attempts": attempts, "failing_s": failing_s, **more}


class Regions:
    """Some regions' answers, in place of a running system."""

    def __init__(self, *, as_json=False, **lists):
        self.json = as_json
        self._lists = lists

    def system(self, _):
        return self

    def regions(self, _):
        return ("eu", "us")

    def ask_all(self, path):
        assert path == "streams"
        return {name: {"streams": listed} for name, listed in self._lists.items()}


def test_each_stream_is_shown_with_the_region_that_processes_it(capsys):
    assert streams("app", common=Regions(us=[told("us/1", "KeyError")], eu=[told("eu/1")])) == FAILED
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["totals", "eu/1", "eu", "7", "2", "-"],
        ["totals", "us/1", "us", "7", "2", "KeyError", "(3", "times", "in", "7", "s)"],
    ]


@pytest.mark.parametrize(
    ("lists", "code"),
    [
        ({"eu": [told("eu/1")], "us": [told("us/1")]}, OK),
        ({"eu": [told("eu/1")], "us": [told("us/1", "KeyError")]}, FAILED),
        ({"eu": [told("eu/1")]}, FAILED),
    ],
)
def test_the_exit_code_says_whether_all_regions_answer_and_nothing_fails(capsys, lists, code):
    assert streams("app", common=Regions(as_json=True, **lists)) == code
    assert len(json.loads(capsys.readouterr().out)["streams"]) == len(lists)
