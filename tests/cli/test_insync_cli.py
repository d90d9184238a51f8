"""`proa insync`: what it asks of the control API, and what it prints."""

import json

import pytest

from proa.cli.insync import approve, release, status
from proa.cli.output import OK

SET = {
    "region": "eu",
    "origin": "eu/1",
    "life": "eu/2",
    "members": ["us/1"],
    "gone": ["us/1"],
    "asked_by": "ada",
    "why": "",
}


class Desk:
    """A system's answers, and what it was asked."""

    def __init__(self, answer, *, as_json=False):
        self.json = as_json
        self._answer = answer
        self.asked = []

    def ask(self, method, path, body):
        self.asked.append((method, path, body))
        return None, self._answer


def test_each_set_is_shown_with_the_members_that_are_gone(capsys):
    whole = SET | {"region": "us", "origin": "us/2", "life": "us/2", "members": ["eu/2"], "gone": [], "asked_by": ""}
    assert status(common=Desk({"sets": [SET, whole]})) == OK
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["eu", "eu/1", "eu/2", "us/1", "us/1", "ada"],
        ["us", "us/2", "us/2", "eu/2", "-", "-"],
    ]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_release_is_asked_for_with_the_loss_accepted_or_not(capsys, accepted):
    desk = Desk(SET, as_json=True)
    assert release("eu", accept_loss=accepted, why="burnt", common=desk) == OK
    assert desk.asked == [("POST", "/insync/eu/release", {"accept_loss": accepted, "why": "burnt"})]
    said = capsys.readouterr()
    assert json.loads(said.out) == SET
    assert "proa insync approve eu" in said.err


def test_a_second_person_approves(capsys):
    desk = Desk(SET | {"asked_by": ""})
    assert approve("eu", common=desk) == OK
    assert desk.asked == [("POST", "/insync/eu/approve", None)]
    assert "us/1" in capsys.readouterr().out
