"""The authorizer in two regions of one process: one active, one standby."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from idp import IdentityProvider

from proa.app import load_app
from proa.core.roles import Assignment
from support.asgi import ask
from support.inproc import system

EU, US = "eu-west-1", "us-east-1"
AUTHORIZER = str(Path(__file__).parents[2] / "examples" / "authorizer")
IDP = IdentityProvider()
JWKS = "http://127.0.0.1:8790/.well-known/jwks.json"


@pytest.fixture
def app():
    return load_app(AUTHORIZER)


def run(app, folder, scenario):
    async def main():
        async with system(app, folder, {JWKS: json.dumps(IDP.jwks()).encode()}) as running:
            roles = Assignment(1, "active-passive", {EU: "active", US: "standby"})
            for region in running.regions.values():
                region.assume(roles, running.clock.monotonic() + 60)
            await scenario(running)

    asyncio.run(main())


async def sent(s, token, method, path, body=None, *, key=None, region=EU):
    """A request with this token, through a region's front door."""
    headers = [("Authorization", f"Bearer {token}")] if token else []
    headers += [("Idempotency-Key", key)] if key else []
    return await ask(s[region].gateway, method, path, headers=headers, body=body)


def body(answer):
    return msgspec.json.decode(answer.body)


async def opened(s, subject="ada", scopes=("orders:read",), key="k1"):
    answer = await sent(s, IDP.issue(subject, scopes), "POST", "/sessions", {}, key=key)
    assert answer.status == 200, answer.body
    return body(answer)


GATEWAY = IDP.issue("gateway", ["authorize:ask"], lifetime_s=86_400)  # made at import, so it outlives a whole run


async def asked(s, session, action="GET", resource="orders/7", region=EU):
    question = {"session": session, "action": action, "resource": resource}
    answer = await sent(s, GATEWAY, "POST", "/authorize", question, region=region)
    decided = body(answer)
    return decided["policyDocument"]["Statement"][0]["Effect"], decided["context"]["reason"]


def test_a_token_is_exchanged_for_a_session_once(app, tmp_path):
    async def scenario(s):
        token = IDP.issue("ada", ["orders:read"])
        first = await sent(s, token, "POST", "/sessions", {}, key="k1")
        again = await sent(s, IDP.issue("ada", ["orders:read"]), "POST", "/sessions", {}, key="k1")
        assert first.body == again.body
        assert body(first)["subject"] == "ada"
        assert body(await sent(s, token, "GET", f"/sessions/{body(first)['id']}")) == body(first)

    run(app, tmp_path, scenario)


def test_nobody_gets_another_ones_session_by_repeating_its_key(app, tmp_path):
    async def scenario(s):
        adas = await opened(s, "ada", key="k1")
        mallorys = await opened(s, "mallory", key="k1")
        assert (mallorys["subject"], mallorys["id"] != adas["id"]) == ("mallory", True)
        assert (await sent(s, IDP.issue("mallory"), "GET", f"/sessions/{adas['id']}")).status == 404

    run(app, tmp_path, scenario)


@pytest.mark.parametrize("path", ["/sessions", "/authorize", "/policies", "/revocations", "/gateways"])
def test_every_route_is_closed_to_whom_nobody_knows(path, app, tmp_path):
    async def scenario(s):
        for token in (None, IdentityProvider().issue("ada", ["authorize:ask"]), IDP.issue("ada", audience="another")):
            assert (await sent(s, token, "POST", path, {}, key="k1")).status == 401

    run(app, tmp_path, scenario)


@pytest.mark.parametrize("path", ["/authorize", "/policies", "/gateways"])
def test_gateways_routes_are_closed_to_clients(path, app, tmp_path):
    async def scenario(s):
        assert (await sent(s, IDP.issue("ada", ["orders:read"]), "POST", path, {})).status == 403

    run(app, tmp_path, scenario)


def test_what_is_not_granted_is_denied(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        assert await asked(s, session) == ("Allow", "granted by scope")
        assert await asked(s, session, "POST") == ("Deny", "not granted")
        assert await asked(s, "no-such-session") == ("Deny", "no such session")

    run(app, tmp_path, scenario)


def test_a_gateway_asks_with_a_key_of_its_own(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        admitted = await sent(s, IDP.issue("root", ["gateways:admit"]), "POST", "/gateways", {"name": "edge-1"})
        question = {"session": session, "action": "GET", "resource": "orders/7"}
        key = body(admitted)["key"]
        answer = await ask(s[EU].gateway, "POST", "/authorize", headers=[("X-API-Key", key)], body=question)
        assert body(answer)["policyDocument"]["Statement"][0]["Effect"] == "Allow"

    run(app, tmp_path, scenario)


def test_a_policy_says_all_that_a_session_may_do_and_how_long_it_may_be_kept(app, tmp_path):
    async def policy(s, session):
        return body(await sent(s, GATEWAY, "POST", "/policies", {"session": session}))

    async def scenario(s):
        session = (await opened(s, scopes=["orders:write"]))["id"]
        told = await policy(s, session)
        allowed = [(one["Effect"], one["Action"], one["Resource"]) for one in told["policyDocument"]["Statement"]]
        assert allowed == [("Allow", action, "orders/*") for action in ("GET", "POST", "PUT")]
        assert (told["principalId"], told["keepS"]) == ("ada", 10)
        await sent(s, IDP.issue("ada"), "POST", "/revocations", {"session": session}, key="r1")
        for one, keep_s in ((session, 10), ("no-such-session", 1)):
            told = await policy(s, one)
            assert told["policyDocument"]["Statement"] == [{"Effect": "Deny", "Action": "*", "Resource": "*"}]
            assert told["keepS"] == keep_s

    run(app, tmp_path, scenario)


def test_a_revoked_session_is_denied_at_the_next_question_and_in_the_standby_too(app, tmp_path):
    async def scenario(s):
        token = IDP.issue("ada", ["orders:read"])
        session = (await opened(s))["id"]
        revoked = await sent(s, token, "POST", "/revocations", {"session": session}, key="r1")
        assert revoked.status == 200
        assert await asked(s, session) == ("Deny", "revoked")
        assert (await sent(s, token, "GET", f"/sessions/{session}")).status == 404
        await s.settled()
        assert await asked(s, session, region=US) == ("Deny", "revoked")

    run(app, tmp_path, scenario)


def test_all_sessions_of_a_subject_end_and_new_ones_may_begin(app, tmp_path):
    async def scenario(s):
        first, second = (await opened(s, key="k1"))["id"], (await opened(s, key="k2"))["id"]
        admin = IDP.issue("root", ["sessions:revoke"])
        await sent(s, admin, "POST", "/revocations", {"subject": "ada"}, key="r1")
        assert [await asked(s, session) for session in (first, second)] == [("Deny", "revoked")] * 2
        await asyncio.sleep(0.01)  # a session that begins in the very millisecond of the revocation has ended, too
        assert await asked(s, (await opened(s, key="k3"))["id"]) == ("Allow", "granted by scope")

    run(app, tmp_path, scenario)


def test_nobody_ends_another_ones_sessions_without_the_scope(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        mallory, ada = IDP.issue("mallory"), IDP.issue("ada")
        assert (await sent(s, mallory, "POST", "/revocations", {"session": session}, key="r1")).status == 403
        assert await asked(s, session) == ("Allow", "granted by scope")
        both = {"session": session, "subject": "ada"}
        assert (await sent(s, ada, "POST", "/revocations", both, key="r2")).status == 422

    run(app, tmp_path, scenario)


def test_the_standby_answers_questions_but_opens_no_session(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        await s.settled()
        assert await asked(s, session, region=US) == ("Allow", "granted by scope")
        refused = await sent(s, IDP.issue("ada"), "POST", "/sessions", {}, key="k2", region=US)
        assert (refused.status, refused.headers["proa-not-started"]) == (503, "true")

    run(app, tmp_path, scenario)


def test_with_the_provider_gone_sessions_are_opened_as_before(app, tmp_path):
    async def scenario(s):
        await opened(s, key="k1")
        s.outside.away = True
        assert (await opened(s, "grace", key="k2"))["subject"] == "grace"

    run(app, tmp_path, scenario)
