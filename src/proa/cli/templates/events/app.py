"""Sign-ups that are answered at once; what follows from them follows by itself, in one region, once."""

from dataclasses import dataclass

from proa import App, Context, Objectives, Retry


@dataclass
class SignUp:
    name: str
    email: str


@dataclass
class Member:
    id: str
    name: str
    email: str
    reference: str


@dataclass
class Mail:
    id: str
    to: str


app = App("my-app", regions=["eu-west-1", "us-east-1"], objectives=Objectives(rto_s=5, rpo_s=0))
members = app.table("members", Member, key="id", mode="strong")
mails = app.table("mails", Mail, key="id")
registered = app.event("member.registered", Member)


@app.post("/members", idempotent=True, timeout_s=2)
async def sign_up(body: SignUp, ctx: Context) -> Member:
    """Become a member. The event leaves in the same commit: no member without it, and none for nobody."""
    member = Member(ctx.unit, body.name, body.email, ctx.idempotency_key or "")
    await members.put(member)
    await registered.emit(member, subject=member.id)
    return member


@app.get("/members/{id}")
async def read(id: str) -> Member:
    """A member."""
    return await members.get(id)


@registered.on(retry=Retry(attempts=20))
async def welcome(member: Member) -> None:
    """Write a mail. What fails here is tried again, then given up into the dead letters (`proa dlq`)."""
    await mails.put(Mail(member.id, member.email))
