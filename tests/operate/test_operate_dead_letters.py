"""The dead letters of a queue as a program sees them: what it asks of which region, and what it is told."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from control_stand_in import JOB, LETTER, Regions

from proa.errors import Forbidden, RegionSilent, Unavailable, Unprocessable, UsageError
from proa.operate import DeadLetters, Letter, Tried, dead_letters


@pytest.fixture(autouse=True)
def named(monkeypatch):
    monkeypatch.setattr(dead_letters, "new_job", lambda: JOB["id"])


@dataclass
class Order:
    id: str


def of(answers, **more):
    regions = Regions(answers, **more)
    return regions, DeadLetters(regions, "orders")


def page(*numbers, next=""):
    return {"letters": [LETTER | {"message": f"m{number}"} for number in numbers], "looked_at": 5000, "next": next}


PAGES = {"": page(1, 2, next="a"), "a": page(next="b"), "b": page(3)}


def test_letters_are_fetched_page_by_page_as_they_are_taken():
    regions, dead = of({"orders/dead": lambda body: PAGES[body["start"]]})
    latest = dead.latest()
    assert [next(latest).message for _ in range(2)] == ["m1", "m2"]
    assert len(regions.asked) == 1
    assert [one.message for one in latest] == ["m3"]
    assert [body for *_, body in regions.asked] == [
        {"limit": dead_letters.PAGE, "start": start} for start in ("", "a", "b")
    ]


def test_no_more_letters_are_asked_for_than_are_wanted():
    regions, dead = of({"orders/dead": lambda body: PAGES[body["start"]]})
    assert [one.message for one in dead.latest(3)] == ["m1", "m2", "m3"]
    assert [body["limit"] for *_, body in regions.asked] == [3, 1, 1]
    assert [one.next for one in dead.pages(2)] == ["a"]
    assert [one.message for part in dead.pages(start="b") for one in part.letters] == ["m3"]


def test_a_letter_is_a_value_with_all_its_attempts():
    _, dead = of({"orders/dead/m1": LETTER})
    letter = dead.get("m1")
    assert isinstance(letter, Letter)
    assert (letter.body, letter.history) == (
        {"id": "7"},
        [Tried(1_799_999_999.0, "eu", "KeyError", "KeyError: 'a'", 0.5)],
    )


def test_every_region_has_all_letters_so_another_one_shows_them():
    regions, dead = of({"orders/dead": page(1)}, deaf=["eu"])
    assert [one.message for one in dead.latest()] == ["m1"]
    regions.deaf.add("us")
    with pytest.raises(Unavailable, match="no region answers"):
        dead.get("m1")


def test_which_letters_are_meant_is_said_once(monkeypatch):
    monkeypatch.setattr(dead_letters.time, "time", lambda: 10_000.0)
    regions, dead = of({"orders/dead": page(1), "orders/dead/redrive": JOB})
    some = dead.where(code="KeyError", since=timedelta(hours=2), fields={"id": "7", "at.n": 7, "paid": True})
    newer = some.where(region="eu", until=datetime.fromtimestamp(5000, UTC))
    list(newer.latest())
    newer.redrive()
    meant = {
        "code": "KeyError",
        "since": 2800.0,
        "fields": {"id": "7", "at.n": "7", "paid": "true"},
        "region": "eu",
        "until": 5000.0,
    }
    looked, sent, _ = (body for *_, body in regions.asked)
    assert looked == meant | {"limit": dead_letters.PAGE, "start": ""}
    assert sent == meant | {"to": "", "why": "", "job": "j"}
    list(some.where(since=3.5).latest())
    assert (regions.asked[-1][-1]["since"], regions.asked[-1][-1].get("region")) == (3.5, None)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(UsageError, match="2026-01-31T12:00:00 has no time zone"):
        of({})[1].where(since=datetime(2026, 1, 31, 12))  # noqa: DTZ001 - what is refused


def test_a_count_says_of_each_region_what_it_would_move_and_who_did_not_count():
    parts = {"": {"letters": 3, "looked_at": 5000, "next": "a"}, "a": {"letters": 4, "looked_at": 70, "next": ""}}
    regions, dead = of({"orders/dead/redrive": lambda body: parts[body["start"]]}, deaf=["us"])
    heard = []
    count = dead.count(to="us", told=lambda region, so_far: heard.append((region, so_far.letters, so_far.looked_at)))
    assert (count.letters, count.regions, str(count.unheard["us"])) == (7, {"eu": 7}, "us does not answer (refused)")
    assert heard == [("eu", 3, 5000)]
    assert all((body["dry"], body["to"]) == (True, "us") for *_, body in regions.asked)


def test_an_edit_goes_to_the_region_that_acts_for_the_letter():
    acting = {"eu/": {"queues": []}, "us/": {"queues": [{"queue": "orders", "home": "eu"}]}}
    regions, dead = of({"orders/dead/m1": LETTER, **acting})
    assert dead.edit("m1", Order("b"), why="a typo").message == "m1"
    assert regions.asked[-1] == ("us", "PUT", "orders/dead/m1", {"body": Order("b"), "why": "a typo"})
    regions.deaf.add("us")
    with pytest.raises(Unavailable, match="no region that answers acts for the messages of eu"):
        dead.edit("m1", Order("b"))


def test_a_purge_of_everything_must_be_meant():
    regions, dead = of({"orders/dead/purge": JOB | {"what": "purge"}})
    for nothing in (dead, dead.where(code="", fields={})):
        with pytest.raises(UsageError, match="everything=True"):
            nothing.purge()
    assert regions.asked == []
    dead.purge(everything=True, why="test data")
    dead.where(code="KeyError").purge()
    assert [body for *_, body in regions.asked[::2]] == [
        {"why": "test data", "job": "j"},
        {"code": "KeyError", "why": "", "job": "j"},
    ]


def test_a_redrive_is_begun_in_every_region_that_answers_and_lets():
    answers = {"orders/dead/redrive": JOB, "us/orders/dead/redrive": Unavailable("the global store is out of reach")}
    regions, dead = of(answers)
    moving = dead.redrive(to="us", rate=9.0, why="mended")
    assert [(region, method, path) for region, method, path, _ in regions.asked] == [
        ("eu", "POST", "orders/dead/redrive"),
        ("us", "POST", "orders/dead/redrive"),
    ]
    assert regions.asked[0][-1] == {"to": "us", "why": "mended", "rate": 9.0, "job": "j"}
    assert ([*moving.jobs], str(moving.unheard["us"])) == (["eu"], "the global store is out of reach")
    regions.deaf.add("us")
    assert isinstance(dead.redrive().unheard["us"], RegionSilent)


@pytest.mark.parametrize("refusal", [Forbidden("ada is a viewer"), Unprocessable("there is no region 'mars'")])
def test_what_every_region_refuses_is_raised(refusal):
    _, dead = of({"orders/dead/redrive": refusal})
    with pytest.raises(type(refusal), match=refusal.detail):
        dead.redrive(to="mars")
    _, dead = of({"orders/dead/redrive": refusal}, deaf=["eu"])
    with pytest.raises(type(refusal), match=refusal.detail):
        dead.count()


def test_nothing_is_begun_where_no_region_answers():
    _, dead = of({}, deaf=["eu", "us"])
    for asked in (dead.redrive, dead.count):
        with pytest.raises(Unavailable, match=r"eu does not answer \(refused\); us does not answer \(refused\)"):
            asked()


def test_names_are_quoted_in_paths():
    regions = Regions({"a%20b/dead/m%3F1": LETTER})
    assert DeadLetters(regions, "a b").get("m?1").message == "m1"
