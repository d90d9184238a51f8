"""`proa table duplicates` shows what all regions list as one, and says by its exit code whether something waits."""

import json
import re

import pytest

from proa.cli.doubled import duplicates


def pair(unit, handled="", **more):
    kept = {"unit": "a" * 32, "region": "eu", "at": 1_700_000_000.0, "status": 200, "body": 1}
    other = {**kept, "unit": unit, "region": "us", "at": 1_700_000_000.25}
    shown = {"route": "POST /x", "key": "k1", "same_payload": True, "found_at": 5.0, "handled": handled}
    return {**shown, "kept": kept, "other": other, **more}


class Regions:
    """Some regions' answers, in place of a running system."""

    def __init__(self, *, as_json=False, **lists):
        self.json = as_json
        self._lists = lists

    def system(self, _):
        return self

    def ask_all(self, path):
        assert path == "duplicates"
        return {name: {"duplicates": listed} for name, listed in self._lists.items()}


def test_pairs_are_shown_once_with_both_units_and_what_dealt_with_them(capsys):
    regions = Regions(eu=[pair("b"), pair("c", found_at=6.0)], us=[pair("b", handled="d")])
    assert duplicates("app", common=regions) == 0
    kept, other = "eu 2023-11-14T22:13:20.000Z 200", "us 2023-11-14T22:13:20.250Z 200"
    assert [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["POST /x", "k1", kept, other, "d"],
        ["POST /x", "k1", kept, other, "-"],
    ]


@pytest.mark.parametrize(("handled", "code", "left"), [("d", 0, 0), ("", 3, 1)])
def test_what_waits_is_told_by_the_exit_code(capsys, handled, code, left):
    regions = Regions(as_json=True, eu=[pair("b", handled=handled)])
    assert duplicates("app", waiting=True, common=regions) == code
    assert len(json.loads(capsys.readouterr().out)["duplicates"]) == left


def test_a_key_that_carried_two_requests_is_pointed_out(capsys):
    duplicates("app", common=Regions(eu=[pair("b", same_payload=False)]))
    assert capsys.readouterr().err == "1 keys carried two different requests, k1 for one\n"
