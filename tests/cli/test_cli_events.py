"""Events as lines for people and as data for programs."""

import re

from proa.cli.events import as_data, line
from proa.cli.watch import Logged, PlanMovedOn, RolesChanged, differences, loud
from proa.core.roles import Assignment
from proa.core.situation import Rules, Situation


def test_an_event_is_a_line_with_its_time_and_values():
    said = line(RolesChanged(3, 0, {"eu-west-1": "active", "us-east-1": "standby"}))
    assert re.fullmatch(r"\d\d:\d\d:\d\d .*", said)
    assert said[9:] == "roles changed: epoch 3, revision 0, roles eu-west-1 active us-east-1 standby"


def test_what_is_empty_is_left_out():
    assert line(PlanMovedOn("000001", "evacuate", "done", "eu-west-1", "", ""))[9:] == (
        "plan moved on: plan 000001, kind evacuate, step done, lost eu-west-1"
    )


def test_programs_get_the_name_and_the_fields():
    data = as_data(Logged("witness", "error", "x"))
    assert data.pop("at")
    assert data == {"event": "logged", "node": "witness", "level": "error", "text": "x"}


def test_new_roles_are_told_once():
    before = Situation(Rules(("a",), "witness", ("edge",), "active-active", "a"))
    roles = Assignment(1, "active-active", {"a": "active"})
    after = Situation(before.rules, assignment=roles)
    assert list(differences(before, after)) == [RolesChanged(1, 0, {"a": "active"})]
    assert list(differences(after, after)) == []


def test_only_trouble_and_what_is_no_log_line_is_shown_of_a_log():
    assert loud("a", b'{"level":"info","event":"peer back"}') is None
    assert loud("a", b'{"level":"error","event":"handler raised","unit":"u1","time":"t","node":"a"}') == Logged(
        "a", "error", "handler raised: unit u1"
    )
    assert loud("a", b"Traceback") == Logged("a", "output", "Traceback")
    assert loud("a", b'{"event":"\xff"}') == Logged("a", "output", '{"event":"\ufffd"}')
