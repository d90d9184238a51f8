"""Registration in two regions: a sign-up is answered at once, and what follows from it follows by itself.

A member is a `strong` row, so that a sign-up that is repeated in the other region is the same one; the event
`member.registered` is told in its commit. A welcome mail, the figures and a profile each have a subscription of their
own: where the mail provider is gone, mails wait, and nothing else does. Where a region is lost, the other one goes on
with what it had not done, and nothing is done twice.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from msgspec import Meta

from proa import AlreadyExists, App, Context, Objectives, Retry, TryLater, merge

app = App(
    "registration",
    regions=["eu-west-1", "us-east-1"],
    topology="active-active",
    objectives=Objectives(rto_s=5, rpo_s=1),
)

MAIL_ATTEMPTS = Retry(attempts=200, base_s=0.2, cap_s=2.0)


class Member(msgspec.Struct, frozen=True):
    """Somebody who signed up; `key` is the Idempotency-Key of the sign-up."""

    id: str
    name: str
    email: str
    key: str


class Mail(msgspec.Struct, frozen=True):
    """A mail that was handed to the provider."""

    id: str
    member: str
    to: str


class Profile(msgspec.Struct, frozen=True):
    """What others see of a member."""

    id: str
    shown_as: str


class Day(msgspec.Struct):
    """How many members a region counted."""

    id: str
    members: merge.Counter = msgspec.field(default_factory=merge.Counter)


members = app.table("members", Member, key="id", mode="strong")
mails = app.table("mails", Mail, key="id")
profiles = app.table("profiles", Profile, key="id")
days = app.table("days", Day, key="id", merge=merge.fields())
registered = app.event("member.registered", Member)


class SignUp(msgspec.Struct, frozen=True):
    """What somebody signs up with."""

    name: Annotated[str, Meta(pattern=r"\S", max_length=100)]
    email: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]


@app.post("/members", idempotent=True, timeout_s=2)
async def sign_up(body: SignUp, ctx: Context) -> Member:
    """Become a member; what follows is told by the event."""
    member = Member(ctx.unit, body.name, body.email, ctx.idempotency_key or "")
    await members.put(member)
    await registered.emit(member, subject=member.id)
    return member


@app.get("/members/{id}")
async def read_member(id: str) -> Member:
    """A member."""
    return await members.get(id)


@registered.on(retry=MAIL_ATTEMPTS, concurrency=5)
async def welcome(member: Member) -> None:
    """Send a mail. While the provider is gone this waits, and waits alone."""
    if os.environ.get("REGISTRATION_MAIL", "up") == "down":
        raise TryLater("the mail provider does not answer", after_s=0.2)
    await mails.put(Mail(f"welcome-{member.id}", member.id, member.email))


@registered.on
async def profile(member: Member) -> None:
    """Show the member to others."""
    if await profiles.get(member.id, None) is not None:
        raise AlreadyExists(f"{member.id} has a profile")
    await profiles.put(Profile(member.id, member.name.split()[0]))


@registered.on(batch=50)
async def count(batch: list[Member], ctx: Context) -> None:
    """Count members, many in one unit."""
    day = await days.get(ctx.region, None) or Day(ctx.region)
    day.members.add(len(batch))
    await days.put(day)


@app.get("/members/{id}/profile")
async def read_profile(id: str) -> Profile:
    """What others see of a member."""
    return await profiles.get(id)


@app.get("/mails/{member}")
async def read_mail(member: str) -> Mail:
    """The mail that welcomed a member."""
    return await mails.get(f"welcome-{member}")


@app.get("/days/{region}")
async def read_day(region: str) -> int:
    """How many members a region counted."""
    day = await days.get(region, None)
    return day.members.value if day else 0
