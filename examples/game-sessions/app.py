"""Game sessions that two regions write at the same time, each without asking the other.

Who is in a session is a set, what was scored a counter: what both regions add stays, whatever is written at the same
moment elsewhere. The last writer would win over the other's players and points. Only where it does no harm does it
decide: a player's status line is the latest one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from proa import App, Context, Duplicate, Objectives, Response, merge

app = App(
    "game-sessions",
    regions=["eu-west-1", "us-east-1"],
    topology="active-active",
    # With two regions, what the other one cannot take for a while (it is cut off, its disk is full) is here alone.
    objectives=Objectives(rto_s=1, rpo_s=1),
)

Name = Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$")]
Points = Annotated[int, Meta(ge=-100, le=100)]


# The tables


class Session(msgspec.Struct):
    """A session as everybody sees it. It begins with the first that happens in it, in whatever region."""

    id: str
    players: merge.AddWinsSet[str] = msgspec.field(default_factory=merge.AddWinsSet[str])
    score: merge.Counter = msgspec.field(default_factory=merge.Counter)
    plays: merge.Counter = msgspec.field(default_factory=merge.Counter)
    best: int = -100


class Seat(msgspec.Struct, frozen=True):
    """That a player is in a session. Deleting it while it is taken again elsewhere leaves it taken."""

    id: str
    session: str
    player: str


class Play(msgspec.Struct, frozen=True):
    """What one player scored once; nobody writes it again."""

    id: str
    session: str
    player: str
    points: int
    reference: str


class Status(msgspec.Struct, frozen=True):
    """What a player says of herself at the moment."""

    player: str
    text: str


sessions = app.table("sessions", Session, key="id", merge=merge.fields(best=max))
seats = app.table("seats", Seat, key="id", merge=merge.fields())
plays = app.table("plays", Play, key="id", merge=merge.last_writer())
statuses = app.table("statuses", Status, key="player", merge=merge.last_writer())


# The routes


class NewPlayer(msgspec.Struct, frozen=True):
    """Who comes in."""

    player: Name


@app.post("/sessions/{id}/players", idempotent=True, timeout_s=2)
async def join(id: str, body: NewPlayer) -> Session:
    """Come into a session."""
    session = await sessions.get(id, None) or Session(id)
    session.players.add(body.player)
    await sessions.put(session)
    await seats.put(Seat(f"{id}/{body.player}", id, body.player))
    return session


@app.delete("/sessions/{id}/players/{player}", timeout_s=2, status=204)
async def leave(id: str, player: str) -> Response:
    """Go out of a session. Who comes in again at the same moment, in another region, stays."""
    session = await sessions.get(id, None)
    if session and player in session.players:
        session.players.discard(player)
        await sessions.put(session)
        await seats.delete(f"{id}/{player}")
    return Response(status=204)


class NewPlay(msgspec.Struct, frozen=True):
    """What was scored; `reference` is the client's own."""

    player: Name
    points: Points
    reference: Annotated[str, Meta(max_length=100)] = ""


async def take_back(duplicate: Duplicate, _: Context) -> None:
    """A play that two regions counted under one key: the later one goes, with its points."""
    doubled = duplicate.other.read(Play)
    if session := await sessions.get(doubled.session, None):
        session.score.add(-doubled.points)
        session.plays.add(-1)
        await sessions.put(session)
    await plays.delete(doubled.id)


@app.post("/sessions/{id}/plays", idempotent=True, timeout_s=2, on_duplicate=take_back)
async def play(id: str, body: NewPlay, ctx: Context) -> Play:
    """Score points, or lose some."""
    session = await sessions.get(id, None) or Session(id)
    session.score.add(body.points)
    session.plays.add()
    session.best = max(session.best, body.points)
    await sessions.put(session)
    played = Play(ctx.unit, id, body.player, body.points, body.reference)
    await plays.put(played)
    return played


@app.get("/sessions/{id}")
async def read_session(id: str) -> Session:
    """A session, as far as this region knows it."""
    return await sessions.get(id)


@app.get("/plays/{id}")
async def read_play(id: str) -> Play:
    """What was scored once."""
    return await plays.get(id)


class NewStatus(msgspec.Struct, frozen=True):
    """A status line."""

    text: Annotated[str, Meta(max_length=100)]


@app.put("/players/{player}/status", timeout_s=2)
async def say(player: str, body: NewStatus) -> Status:
    """Set a player's status; the latest one stands."""
    status = Status(player, body.text)
    await statuses.put(status)
    return status


@app.delete("/players/{player}/status", timeout_s=2, status=204)
async def unsay(player: str) -> Response:
    """Take a player's status away."""
    await statuses.delete(player)
    return Response(status=204)


@app.get("/players/{player}/status")
async def read_status(player: str) -> Status:
    """A player's status, as far as this region knows it."""
    return await statuses.get(player)
