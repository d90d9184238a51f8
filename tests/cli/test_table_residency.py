"""`proa table residency`: what it prints, and what its exit code says."""

import pytest

from proa.cli import table
from proa.cli.output import FAILED, OK, VIOLATED

ROWS = {"what": "rows", "table": "people@de+eu", "regions": ["de", "eu"], "count": 3}


def said(*forbidden, held=(ROWS,), **more):
    return {"held": list(held), "forbidden": list(forbidden), "lacking": [], "damaged": [], "unreadable": []} | more


class Asked(table.Asking):
    """A system whose regions answer what a test wants."""

    def __init__(self, answers):
        self.answers = answers

    def ask_all(self, path):
        assert path == "residency"
        return self.answers

    def regions(self, _):
        return ("eu", "us")

    def ask(self, *_):
        raise AssertionError("all are asked at once")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"eu": said(), "us": said(held=())}, OK),
        ({"eu": said(), "us": said(ROWS)}, VIOLATED),
        ({"eu": said()}, FAILED),
        ({"eu": said(), "us": said(damaged=["eu/1:7"])}, FAILED),
        ({"eu": said(), "us": said(unreadable=["answers POST /x ~1"])}, FAILED),
        ({"eu": said(), "us": said(ROWS, unreadable=["answers POST /x ~1"])}, VIOLATED),
    ],
)
@pytest.mark.parametrize("json", [False, True])
def test_the_exit_code_says_whether_every_region_holds_only_what_it_may(monkeypatch, answers, code, json):
    monkeypatch.setattr(table.Common, "system", lambda *_: Asked(answers))
    assert table.residency("app", common=table.Common(json=json)) == code


def test_what_is_forbidden_and_what_is_lacking_is_named(monkeypatch, capsys):
    answers = {"eu": said(), "us": said(ROWS, lacking=["eu/1:7"])}
    monkeypatch.setattr(table.Common, "system", lambda *_: Asked(answers))
    table.residency("app")
    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()[1:]] == [
        ["eu", "de+eu", "people", "rows", "3"],
        ["us", "de+eu", "people", "rows", "3", "FORBIDDEN"],
    ]
    assert "us lacks rows of 1 commits that nobody within reach has: eu/1:7" in told.err


def test_what_cannot_be_read_is_named_as_not_counted(monkeypatch, capsys):
    monkeypatch.setattr(table.Common, "system", lambda *_: Asked({"eu": said(), "us": said(damaged=["eu/1:7"])}))
    table.residency("app")
    assert "us cannot read eu/1:7 in its journal until a peer mends it; what they hold" in capsys.readouterr().err
    answers = {"us": said(unreadable=["answers POST /x ~1"])}
    monkeypatch.setattr(table.Common, "system", lambda *_: Asked(answers))
    table.residency("app")
    told = capsys.readouterr().err
    assert "us cannot read 1 records of finished keys, which are not counted: answers POST /x ~1" in told
