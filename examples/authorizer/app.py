"""A token authorizer in two regions: one active, one standby, and an operator who approves the fail-over.

Clients exchange a token of their identity provider for a session; gateways ask whether a session may do something; a
revocation takes effect with the next question. Sessions and revocations are `active` tables: only the active region
writes them, so a session is never revoked in one region and renewed in the other.

Tokens travel in the body, not in a header, on purpose: the body is what an Idempotency-Key is bound to, so nobody is
given another caller's session by repeating its key.
"""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from policy import Decision, allows, decision
from tokens import KeyCache, Verifier

from proa import App, Context, Forbidden, NotFound, Objectives, Unprocessable

SESSION_S = 3600
FETCH_S = 1.0

app = App(
    "authorizer",
    regions=["eu-west-1", "us-east-1"],
    topology="active-passive",
    active="eu-west-1",
    failover="approval",
    witness="eu-central-1",
    lease_s=2,
    objectives=Objectives(rto_s=5, rpo_s=1),
)


# The tables


class Session(msgspec.Struct, frozen=True):
    """What a token was exchanged for. The id is a secret: whoever holds it acts as the subject."""

    id: str
    subject: str
    scopes: list[str]
    issued_at: float
    expires_at: float
    device: str = ""


class Revocation(msgspec.Struct, frozen=True):
    """Ends one session (`session:ID`), or all of a subject's issued up to now (`subject:NAME`)."""

    target: str
    at: float
    by: str
    reason: str = ""


sessions = app.table("sessions", Session, key="id", mode="active")
revocations = app.table("revocations", Revocation, key="target", mode="active")


# The identity provider


async def fetch_jwks() -> dict[str, Any]:
    """The provider's JWKS, from `AUTHORIZER_JWKS_URL`."""
    import aiohttp

    url = os.environ.get("AUTHORIZER_JWKS_URL", "http://127.0.0.1:8790/.well-known/jwks.json")
    limit = aiohttp.ClientTimeout(total=FETCH_S)
    async with aiohttp.ClientSession(timeout=limit) as client, client.get(url, raise_for_status=True) as answer:
        return await answer.json()


keys = KeyCache(fetch_jwks, lambda: asyncio.get_running_loop().time())
tokens = Verifier(
    keys,
    issuer=os.environ.get("AUTHORIZER_ISSUER", "https://idp.example"),
    audience=os.environ.get("AUTHORIZER_AUDIENCE", "authorizer"),
)


@app.health(every_s=5, fail_after=3)
async def identity_keys() -> bool:
    """Fails while tokens are being refused for want of keys; a provider that is out while keys last is no failure."""
    await keys.keep_fresh()
    return not keys.refusing


# The routes


class TokenExchange(msgspec.Struct, frozen=True):
    """A token of the identity provider, and what the session is for, in the caller's own words."""

    token: str
    device: Annotated[str, Meta(max_length=100)] = ""


@app.post("/sessions", idempotent=True, timeout_s=2)
async def open_session(body: TokenExchange, ctx: Context) -> Session:
    """Exchange a token for a session of an hour."""
    now = ctx.now()
    identity = await tokens.verify(body.token, now)
    session = Session(ctx.token(), identity.subject, sorted(identity.scopes), now, now + SESSION_S, body.device)
    await sessions.put(session)
    return session


@app.get("/sessions/{id}")
async def read_session(id: str, ctx: Context) -> Session:
    """A session that is still good; 404 for one that is unknown, expired or revoked."""
    session = await sessions.get(id)
    if session.expires_at <= ctx.now() or await revoked(session):
        raise NotFound("the session has ended")
    return session


class Question(msgspec.Struct, frozen=True):
    """May the holder of `session` do `action` on `resource`?"""

    session: str
    action: str
    resource: str


@app.post("/authorize", timeout_s=1)
async def authorize(question: Question, ctx: Context) -> Decision:
    """The gateway's question. Deny by default: only a live session with a scope that grants it is allowed."""
    session = await sessions.get(question.session, None)
    if session is None or session.expires_at <= ctx.now():
        return decision("Deny", "anonymous", question.action, question.resource, "no such session")
    if await revoked(session):
        return decision("Deny", session.subject, question.action, question.resource, "revoked")
    if not allows(session.scopes, question.action, question.resource):
        return decision("Deny", session.subject, question.action, question.resource, "not granted")
    return decision("Allow", session.subject, question.action, question.resource, "granted by scope")


class RevocationRequest(msgspec.Struct, frozen=True):
    """Who asks (`token`), and what ends: one session, or every session of a subject."""

    token: str
    session: str = ""
    subject: str = ""
    reason: Annotated[str, Meta(max_length=200)] = ""


@app.post("/revocations", idempotent=True, timeout_s=2)
async def revoke(body: RevocationRequest, ctx: Context) -> Revocation:
    """End a session. A subject may end its own; the scope `sessions:revoke` ends anybody's."""
    if bool(body.session) == bool(body.subject):
        raise Unprocessable("give exactly one of `session` and `subject`")
    identity = await tokens.verify(body.token, ctx.now())
    owner = body.subject or (await sessions.get(body.session)).subject
    if identity.subject != owner and "sessions:revoke" not in identity.scopes:
        raise Forbidden("only the subject itself, or a holder of `sessions:revoke`, may end these sessions")
    target = f"session:{body.session}" if body.session else f"subject:{body.subject}"
    revocation = Revocation(target, ctx.now(), identity.subject, body.reason)
    await revocations.put(revocation)
    return revocation


async def revoked(session: Session) -> bool:
    """Whether the session, or all its subject's up to some moment after it began, have been ended."""
    if await revocations.get(f"session:{session.id}", None):
        return True
    ended = await revocations.get(f"subject:{session.subject}", None)
    return ended is not None and session.issued_at <= ended.at
