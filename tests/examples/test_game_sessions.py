"""Game sessions in two regions of one process: what both do at the same time is kept."""

import asyncio
from pathlib import Path
from random import Random

import msgspec
import pytest

from proa.app import load_app
from proa.chaos.workload import Request, load_workload
from support.inproc import system

EU, US = "eu-west-1", "us-east-1"
GAMES = Path(__file__).parents[2] / "examples" / "game-sessions"


def run(folder, scenario):
    async def main():
        async with system(load_app(str(GAMES)), folder) as running:
            await scenario(running)

    asyncio.run(main())


async def both(s, *requests):
    """One request in each region at the same moment, and what both regions then show of the session."""
    numbered = enumerate(zip((EU, US), requests, strict=True))
    await asyncio.gather(*(s.request(region, *request, key=f"k{number}") for number, (region, request) in numbered))
    await s.settled()
    shown = [(await s.request(region, "GET", "/sessions/s")).body for region in (EU, US)]
    assert shown[0] == shown[1]
    return msgspec.json.decode(shown[0])


def joins(player):
    return ("POST", "/sessions/s/players", {"player": player})


def scores(points):
    return ("POST", "/sessions/s/plays", {"player": "ada", "points": points})


LEAVES = ("DELETE", "/sessions/s/players/ada", None)


def test_players_who_come_in_two_regions_at_once_are_all_in(tmp_path):
    async def scenario(s):
        assert (await both(s, joins("ada"), joins("bob")))["players"] == ["ada", "bob"]

    run(tmp_path, scenario)


def test_points_of_both_regions_count_and_the_best_of_both_stays(tmp_path):
    async def scenario(s):
        session = await both(s, scores(30), scores(-5))
        assert (session["score"], session["plays"], session["best"]) == (25, 2, 30)

    run(tmp_path, scenario)


def test_a_player_who_comes_again_while_she_goes_elsewhere_is_in(tmp_path):
    async def scenario(s):
        await s.request(EU, *joins("ada"), key="first")
        await s.settled()
        assert (await both(s, LEAVES, joins("ada")))["players"] == ["ada"]

    run(tmp_path, scenario)


def test_a_player_who_goes_is_out_everywhere_and_may_come_back(tmp_path):
    async def scenario(s):
        await s.request(EU, *joins("ada"), key="first")
        await s.settled()
        assert (await both(s, LEAVES, scores(1)))["players"] == []
        assert (await s.request(US, *joins("ada"), key="again")).status == 200

    run(tmp_path, scenario)


def test_the_tables_merge_as_the_readme_says():
    tables = load_app(str(GAMES)).tables
    assert {name: (table.mode, table.merge.name) for name, table in tables.items()} == {
        "sessions": ("any", "fields"),
        "seats": ("any", "fields"),
        "plays": ("any", "last_writer"),
        "statuses": ("any", "last_writer"),
    }


# The drill.


@pytest.fixture
def drill():
    return load_workload(GAMES / "drill.py")


def test_a_seed_repeats_the_drill_of_the_games(drill):
    first = [drill.request(n, Random(n)) for n in range(100)]
    assert first == [drill.request(n, Random(n)) for n in range(100)]
    assert {request.method for request in first} == {"POST", "PUT", "DELETE"}
    assert len({request.key for request in first}) == 100


def test_only_what_stays_for_ever_is_read_back(drill):
    played = Request("POST", "/sessions/s1/plays")
    assert drill.read_back(played, b'{"id":"u1"}') == Request("GET", "/plays/u1")
    assert drill.read_back(Request("POST", "/sessions/s1/players"), b"{}") is None


SESSION = {"id": "s", "players": ["ada"], "score": 25, "plays": 2, "best": 30}
SEATS = [{"session": "s", "player": "ada"}]
PLAYS = [{"session": "s", "points": 30}, {"session": "s", "points": -5}]


def test_sessions_that_agree_with_their_seats_and_plays_raise_no_complaint(drill):
    assert drill.check({"sessions": [SESSION], "seats": SEATS, "plays": PLAYS}) == []


@pytest.mark.parametrize(
    ("session", "seats", "plays"),
    [
        (SESSION | {"score": 30}, SEATS, PLAYS),
        (SESSION, SEATS, [*PLAYS, PLAYS[0]]),
        (SESSION | {"best": 10}, SEATS, PLAYS),
        (SESSION | {"players": []}, SEATS, PLAYS),
        (SESSION, [], PLAYS),
    ],
    ids=["points gone", "play doubled", "best gone", "player gone", "player came back"],
)
def test_sessions_that_do_not_agree_are_named(drill, session, seats, plays):
    [complaint] = drill.check({"sessions": [session], "seats": seats, "plays": plays})
    assert complaint.startswith("session s ")
