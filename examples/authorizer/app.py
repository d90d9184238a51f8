"""A token authorizer in two regions: one active, one standby, and an operator who approves the fail-over.

Clients show a token of their identity provider and open a session; gateways ask what a session may do, and keep the
answer for as long as it says; a revocation takes effect with the next question. Sessions and revocations are `active`
tables: only the active region writes them, so a session is never revoked in one region and renewed in the other.

Every route demands somebody known, by a token of the provider or by an API key, unless it says otherwise.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from msgspec import Meta
from policy import Decision, Policy, allows, decision, policy_of

from proa import ApiKeys, App, Context, Forbidden, NotFound, Objectives, Oidc, Principal, Unprocessable, scopes

SESSION_S = 3600
KEEP_S = 10.0
"""How long a gateway may keep what it was told: how much later than in the region a revocation takes effect there."""
UNKNOWN_KEEP_S = 1.0
"""The same of a session that nobody knows: it may be so new that its region is ahead of this one."""

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
authentication = app.authenticate(
    Oidc(
        os.environ.get("AUTHORIZER_ISSUER", "https://idp.example"),
        audience=os.environ.get("AUTHORIZER_AUDIENCE", "authorizer"),
        jwks_url=os.environ.get("AUTHORIZER_JWKS_URL", "http://127.0.0.1:8790/.well-known/jwks.json"),
    ),
    ApiKeys(),
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


# Clients


class Opening(msgspec.Struct, frozen=True):
    """What the session is for, in the caller's own words."""

    device: Annotated[str, Meta(max_length=100)] = ""


@app.post("/sessions", idempotent=True, timeout_s=2)
async def open_session(body: Opening, who: Principal, ctx: Context) -> Session:
    """Exchange the token that the request shows for a session of an hour."""
    now = ctx.now()
    session = Session(ctx.token(), who.subject, sorted(who.scopes), now, now + SESSION_S, body.device)
    await sessions.put(session)
    return session


@app.get("/sessions/{id}")
async def read_session(id: str, who: Principal, ctx: Context) -> Session:
    """A session that is still good, for its subject; 404 for any other."""
    session = await sessions.get(id)
    if session.subject != who.subject or await ended(session, ctx):
        raise NotFound("the session has ended, or is not yours")
    return session


class RevocationRequest(msgspec.Struct, frozen=True):
    """What ends: one session, or every session of a subject."""

    session: str = ""
    subject: str = ""
    reason: Annotated[str, Meta(max_length=200)] = ""


@app.post("/revocations", idempotent=True, timeout_s=2)
async def revoke(body: RevocationRequest, who: Principal, ctx: Context) -> Revocation:
    """End a session. A subject may end its own; the scope `sessions:revoke` ends anybody's."""
    if bool(body.session) == bool(body.subject):
        raise Unprocessable("give exactly one of `session` and `subject`")
    owner = body.subject or (await sessions.get(body.session)).subject
    if who.subject != owner and "sessions:revoke" not in who.scopes:
        raise Forbidden("only the subject itself, or a holder of `sessions:revoke`, may end these sessions")
    target = f"session:{body.session}" if body.session else f"subject:{body.subject}"
    revocation = Revocation(target, ctx.now(), who.subject, body.reason)
    await revocations.put(revocation)
    return revocation


# Gateways


class Question(msgspec.Struct, frozen=True):
    """May the holder of `session` do `action` on `resource`?"""

    session: str
    action: str
    resource: str


@app.post("/authorize", timeout_s=1, auth=scopes("authorize:ask"))
async def authorize(question: Question, ctx: Context) -> Decision:
    """One question. Deny by default: only a live session with a scope that grants it is allowed."""
    session = await sessions.get(question.session, None)
    if session is None or session.expires_at <= ctx.now():
        return decision("Deny", "anonymous", question.action, question.resource, "no such session")
    if await revoked(session):
        return decision("Deny", session.subject, question.action, question.resource, "revoked")
    if not allows(session.scopes, question.action, question.resource):
        return decision("Deny", session.subject, question.action, question.resource, "not granted")
    return decision("Allow", session.subject, question.action, question.resource, "granted by scope")


class Asked(msgspec.Struct, frozen=True):
    """Whose policy is wanted."""

    session: str


@app.post("/policies", timeout_s=1, auth=scopes("authorize:ask"))
async def policy(asked: Asked, ctx: Context) -> Policy:
    """All that a session may do, for a gateway that answers further questions itself (see `decisions.py`)."""
    session = await sessions.get(asked.session, None)
    if session is None or await ended(session, ctx):
        return policy_of("anonymous", (), KEEP_S if session else UNKNOWN_KEEP_S)
    return policy_of(session.subject, session.scopes, min(KEEP_S, session.expires_at - ctx.now()))


async def ended(session: Session, ctx: Context) -> bool:
    """Whether a session is over, by its time or by a revocation."""
    return session.expires_at <= ctx.now() or await revoked(session)


async def revoked(session: Session) -> bool:
    """Whether the session, or all its subject's up to some moment after it began, have been ended."""
    if await revocations.get(f"session:{session.id}", None):
        return True
    found = await revocations.get(f"subject:{session.subject}", None)
    return found is not None and session.issued_at <= found.at


# Operators


class GatewayName(msgspec.Struct, frozen=True):
    """Which gateway a key is for."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]


@app.post("/gateways", auth=scopes("gateways:admit"))
async def admit_gateway(body: GatewayName, ctx: Context) -> dict[str, str]:
    """An API key for a gateway, shown this once. The route takes no Idempotency-Key, which would record the answer."""
    return {"key": await authentication.keys.issue(body.name, ctx, scopes=["authorize:ask"])}
