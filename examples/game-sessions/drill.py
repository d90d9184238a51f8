"""The drill of the game sessions: few sessions and few players, so that regions write the same rows at the same time.

At the end every session must have exactly the points and the players that the rows beside it tell of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, ClassVar

import msgspec

from proa.chaos import workload
from proa.chaos.workload import Request, Rows

SESSIONS = 20
FEW_SESSIONS = 3
PLAYERS = 8


class Workload(workload.Workload):
    """Players come, score, say something, and go; the reference of each play is its Idempotency-Key."""

    counted: ClassVar[Mapping[str, str]] = {"plays": "reference"}
    kept: ClassVar[Sequence[str]] = ("sessions", "seats", "statuses")

    def request(self, number: int, rng: Random) -> Request:
        """One thing that one player does in one session."""
        session = f"/sessions/s{rng.randrange(FEW_SESSIONS if self.small else SESSIONS)}"
        player, key = f"p{rng.randrange(PLAYERS)}", f"drill-{number}-{rng.getrandbits(48):012x}"
        (act,) = rng.choices(("plays", "joins", "leaves", "says", "unsays"), (35, 25, 15, 15, 10))
        match act:
            case "plays":
                return _post(f"{session}/plays", key, player=player, points=rng.randint(-20, 50), reference=key)
            case "joins":
                return _post(f"{session}/players", key, player=player)
            case "leaves":
                return Request("DELETE", f"{session}/players/{player}", key=key)
            case "says":
                return Request("PUT", f"/players/{player}/status", msgspec.json.encode({"text": key}), key=key)
            case _:
                return Request("DELETE", f"/players/{player}/status", key=key)

    def read_back(self, request: Request, answer: bytes) -> Request | None:
        """A play stays for ever; everything else may have changed meanwhile."""
        if not request.path.endswith("/plays"):
            return None
        return Request("GET", f"/plays/{msgspec.json.decode(answer)['id']}")

    def check(self, rows: Rows) -> Sequence[str]:
        """A session has the points of its plays, and the players of its seats."""
        return [*_scores(rows), *_players(rows)]


def _post(path: str, key: str, **body: object) -> Request:
    return Request("POST", path, msgspec.json.encode(body), key=key)


def _scores(rows: Rows) -> Iterator[str]:
    points: defaultdict[str, list[int]] = defaultdict(list)
    for play in rows["plays"]:
        points[play["session"]].append(play["points"])
    for session in rows["sessions"]:
        scored = points[session["id"]]
        told = (session["score"], session["plays"], session["best"])
        if told != (expected := (sum(scored), len(scored), max([-100, *scored]))):
            yield f"session {session['id']} tells of (points, plays, best) {told}, but its plays make {expected}"


def _players(rows: Rows) -> Iterator[str]:
    seated: defaultdict[str, set[Any]] = defaultdict(set)
    for seat in rows["seats"]:
        seated[seat["session"]].add(seat["player"])
    for session in rows["sessions"]:
        inside = set(session["players"])
        if inside != seated[session["id"]]:
            yield f"session {session['id']} holds {sorted(inside)}, but seats are {sorted(seated[session['id']])}"
