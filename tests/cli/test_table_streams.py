"""`proa table streams`: what it prints, and what its exit code says."""

import json

import pytest

from proa.cli.output import FAILED, OK
from proa.cli.streams import rebuild, streams
from proa.cli.table import Asking
from proa.errors import RegionSilent, UsageError


def told(origin, failing="", **more):
    attempts, failing_s = (3, 7.4) if failing else (0, 0.0)
    shown = {"stream": "totals", "origin": origin, "position": 7, "lag": 2, "walking": ""}
    return {**shown, "failing": failing, "attempts": attempts, "failing_s": failing_s, **more}


class Regions(Asking):
    """Some regions' answers, in place of a running system."""

    def __init__(self, *, as_json=False, **lists):
        self.json = as_json
        self._lists = lists
        self.asked = []

    def system(self, _):
        return self

    def regions(self, _):
        return ("eu", "us")

    def ask_all(self, path):
        assert path == "streams"
        return {name: {"streams": listed} for name, listed in self._lists.items()}

    def ask(self, region, method, path, body):
        self.asked.append((region, method, path, body))
        if path == "streams/skip":
            return {"skipped": ["17"]}
        if region not in self._lists:
            raise RegionSilent(region, "refused")
        return {"regions": self._lists[region]}


def test_each_stream_is_shown_with_the_region_that_processes_it(capsys):
    assert streams("app", common=Regions(us=[told("us/1", "KeyError")], eu=[told("eu/1")])) == FAILED
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["totals", "eu/1", "eu", "7", "2", "journal", "-"],
        ["totals", "us/1", "us", "7", "2", "journal", "KeyError", "(3", "times", "in", "7", "s)"],
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


def test_what_fails_is_skipped_in_the_region_where_it_does_and_only_at_the_place_shown(capsys):
    regions = Regions(eu=[told("eu/1")], us=[told("us/1", "KeyError", walking="orders/5")])
    assert streams("app", skip="totals", origin="us/1", why="bad row", common=regions) == OK
    body = {"stream": "totals", "origin": "us/1", "position": 7, "walking": "orders/5", "why": "bad row"}
    assert regions.asked == [("us", "POST", "streams/skip", body)]
    assert capsys.readouterr().out.splitlines()[1].split() == ["totals", "us/1", "17"]


def test_what_does_not_fail_is_not_skipped(capsys):
    regions = Regions(eu=[told("eu/1")])
    assert (streams("app", skip="totals", origin="eu/1", common=regions), regions.asked) == (FAILED, [])
    assert capsys.readouterr().err == "totals fails on nothing of eu/1\n"
    with pytest.raises(UsageError, match="both or neither"):
        streams("app", skip="totals", common=regions)


@pytest.mark.parametrize(("lists", "code"), [({"eu": ["eu"], "us": ["us"]}, OK), ({"eu": ["eu", "us"]}, OK)])
def test_a_rebuild_is_asked_of_every_region(capsys, lists, code):
    regions = Regions(as_json=True, **lists)
    assert rebuild("app", "totals", why="wrong sums", common=regions) == code
    body = {"stream": "totals", "why": "wrong sums"}
    assert regions.asked == [(region, "POST", "streams/rebuild", body) for region in ("eu", "us")]
    assert json.loads(capsys.readouterr().out) == {"stream": "totals", "begun": lists, "left": []}


def test_a_rebuild_that_leaves_a_region_out_says_so(capsys):
    assert rebuild("app", "totals", common=Regions(eu=["eu"])) == FAILED
    assert "the changes of us are not told again" in capsys.readouterr().err
