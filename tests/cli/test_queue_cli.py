"""`proa queue` and `proa dlq`: what they ask, what they print, and what their exit codes say."""

import json

import pytest

from proa.cli import dlq
from proa.cli.output import FAILED, INTERRUPTED, OK
from proa.cli.queue import listed as queues
from proa.cli.queue import pause
from proa.cli.table import Asking
from proa.errors import NotFound, RegionSilent, UsageError
from proa.operate import dead_letters

FIGURES = {
    "queue": "orders", "home": "eu", "depth": 12, "out": 3, "age_s": 4.5, "paused": "", "allowed": 10,
    "concurrency": 10, "slowed": False, "per_s": 7.25,
}  # fmt: skip
LETTER = {
    "message": "m1", "queue": "orders", "region": "eu", "died_at": 1_800_000_000.0, "error": "KeyError",
    "said": "KeyError: 'a'\nmore", "fingerprint": "0badcafe", "attempts": 5, "redriven": 0, "group": "",
    "sent_at": 1_799_999_990.0, "unit": "u1", "trace": "", "body": {"id": "7"}, "history": [],
}  # fmt: skip
JOB = {"id": "j", "queue": "orders", "what": "redrive", "moved": 0, "state": "running", "why": ""}


@pytest.fixture(autouse=True)
def named(monkeypatch):
    monkeypatch.setattr(dead_letters, "new_job", lambda: JOB["id"])


class Regions(Asking):
    """Some regions' answers, in place of a running system; who is not among them does not answer."""

    def __init__(self, answers, *, as_json=False, deaf=()):
        self.json = as_json
        self._answers = answers
        self._deaf = deaf
        self.asked = []

    def system(self, _, part):
        assert part == "queues"
        return self

    def regions(self, _):
        return ("eu", "us")

    def ask_all(self, path):
        return {name: self._answers[path] for name in self.regions("") if name not in self._deaf}

    def ask_first(self, method, path, body=None):
        return self.ask("eu", method, path, body)

    def ask(self, region, method, path, body=None):
        self.asked.append((region, method, path, body))
        if region in self._deaf:
            raise RegionSilent(region, "refused")
        answer = self._answers[path]
        return answer(body) if callable(answer) else answer


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "ok"),
        ({"paused": "provider gone"}, "paused: provider gone"),
        ({"slowed": True}, "slowed: the store is behind"),
    ],
)
def test_each_queue_is_shown_with_who_hands_it_out(capsys, more, state):
    assert queues("app", common=Regions({"": {"queues": [FIGURES | more]}})) == OK
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["orders", "eu", "eu", "12", "3", "4.5", "7.2", "10", "of", "10", *state.split()]


def test_a_queue_that_no_region_has_is_not_shown_as_empty():
    with pytest.raises(NotFound, match="no region that answers has a queue 'odrers'"):
        queues("app", "odrers", common=Regions({"": {"queues": [FIGURES]}}))


def test_a_region_that_does_not_answer_may_have_more(capsys):
    assert queues("app", common=Regions({"": {"queues": [FIGURES]}}, as_json=True, deaf=["us"])) == FAILED
    assert [one["region"] for one in json.loads(capsys.readouterr().out)["queues"]] == ["eu"]


def test_one_region_is_told_to_pause_and_all_learn_it(capsys):
    regions = Regions({"orders/pause": {"queue": "orders", "state": "paused"}})
    assert pause("app", "orders", why="provider gone", common=regions) == OK
    assert regions.asked == [("eu", "POST", "orders/pause", {"why": "provider gone"})]
    assert "queue orders is paused" in capsys.readouterr().err


def test_letters_are_listed_with_the_filter_that_was_given(capsys):
    regions = Regions({"orders/dead": {"letters": [LETTER], "looked_at": 7, "next": "there"}})
    which = dlq.Filter(code="KeyError", field=["id=7", "at.b=c=d"])
    assert dlq.listed("app", "orders", limit=1, which=which, common=regions) == OK
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:6] == ["2027-01-15T08:00:00Z", "eu", "m1", "5", "KeyError", "0badcafe"]
    assert "--start there" in said.err
    ((_, _, _, asked),) = regions.asked
    assert (asked["code"], asked["fields"], asked["limit"]) == ("KeyError", {"id": "7", "at.b": "c=d"}, 1)


PARTS = {
    "": {"letters": [LETTER], "looked_at": 5000, "next": "b"},
    "b": {"letters": [], "looked_at": 5000, "next": "c"},
    "c": {"letters": [LETTER | {"message": "m2"}], "looked_at": 70, "next": ""},
}  # fmt: skip


def test_a_list_goes_on_until_it_has_enough_letters_or_there_are_no_more(capsys, monkeypatch):
    monkeypatch.setattr(dlq, "SAY_EVERY_S", 0)
    regions = Regions({"orders/dead": lambda body: PARTS[body["start"]]}, as_json=True)
    assert dlq.listed("app", "orders", limit=20, common=regions) == OK
    said = capsys.readouterr()
    page = json.loads(said.out)
    assert ([letter["message"] for letter in page["letters"]], page["next"]) == (["m1", "m2"], "")
    assert [(body["start"], body["limit"]) for *_, body in regions.asked] == [("", 20), ("b", 19), ("c", 19)]
    assert "10,000 looked through, 1 found" in said.err
    assert dlq.listed("app", "orders", limit=1, common=regions) == OK
    assert json.loads(capsys.readouterr().out)["next"] == "b"


def test_a_list_that_is_interrupted_shows_what_it_found_and_where_to_go_on(capsys):
    def asked(body):
        if body["start"] == "c":
            raise KeyboardInterrupt
        return PARTS[body["start"]]

    assert dlq.listed("app", "orders", common=Regions({"orders/dead": asked})) == INTERRUPTED
    said = capsys.readouterr()
    assert (said.out.splitlines()[1].split()[2], "--start c" in said.err) == ("m1", True)


def test_a_redrive_is_done_by_every_region_and_awaited(capsys):
    job = JOB | {"moved": 5, "state": "done"}
    regions = Regions({"orders/dead/redrive": JOB, "orders/dead/jobs": {"jobs": [job]}})
    assert dlq.redrive("app", "orders", rate=9.0, common=regions) == OK
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["eu", "5", "done"],
        ["us", "5", "done"],
    ]


def test_a_redrive_that_some_region_did_not_finish_fails(capsys):
    job = JOB | {"moved": 5, "state": "failed", "why": "StoreFull: no room"}
    regions = Regions({"orders/dead/redrive": JOB, "orders/dead/jobs": {"jobs": [job]}}, deaf=["us"])
    assert dlq.redrive("app", "orders", common=regions) == FAILED
    assert "us does not answer (refused); what it acts for may stay as it is" in capsys.readouterr().err


def test_a_dry_run_counts_part_by_part_and_changes_nothing(capsys, monkeypatch):
    def counted(body):
        return {"letters": 3, "looked_at": 5000, "next": "" if body.get("start") == "b" else "b"}

    monkeypatch.setattr(dlq, "SAY_EVERY_S", 0)
    regions = Regions({"orders/dead/redrive": counted}, as_json=True)
    assert dlq.purge("app", "orders", dry_run=True, common=regions) == OK
    said = capsys.readouterr()
    assert json.loads(said.out) == {"regions": {"eu": {"letters": 6}, "us": {"letters": 6}}}
    assert "5,000 looked through, 3 counted in eu" in said.err
    assert all(body["dry"] for *_, body in regions.asked)


def test_a_purge_of_everything_must_be_meant():
    with pytest.raises(UsageError, match="say which, or --everything"):
        dlq.purge("app", "orders", common=Regions({}))


def test_an_edit_goes_to_the_region_that_acts_for_the_letter(capsys):
    answers = {"orders/dead/m1": LETTER, "": {"queues": [FIGURES]}}
    regions = Regions(answers)
    assert dlq.edit("app", "orders", "m1", '{"id": "b"}', why="typo", common=regions) == OK
    assert regions.asked[-1] == ("eu", "PUT", "orders/dead/m1", {"body": {"id": "b"}, "why": "typo"})
    with pytest.raises(UsageError, match="not JSON"):
        dlq.edit("app", "orders", "m1", "{", common=regions)
    with pytest.raises(UsageError, match="not name=value"):
        dlq.Filter(field=["id"]).of(regions, "app", "orders")
