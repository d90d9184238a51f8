"""The authorizer in two regions of one process: one active, one standby."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from idp import IdentityProvider

from proa.app import load_app
from proa.core.roles import Assignment
from support.inproc import system

EU, US = "eu-west-1", "us-east-1"
AUTHORIZER = str(Path(__file__).parents[2] / "examples" / "authorizer")
IDP = IdentityProvider()


@pytest.fixture
def app(monkeypatch):
    """The app, fetching its keys from a provider in this process."""
    loaded = load_app(AUTHORIZER)
    module = sys.modules[loaded.routes[0].handler.__module__]

    async def jwks():
        return IDP.jwks()

    monkeypatch.setattr(module.keys, "_fetch", jwks)
    return loaded


def run(app, folder, scenario):
    async def main():
        async with system(app, folder) as running:
            roles = Assignment(1, "active-passive", {EU: "active", US: "standby"})
            for region in running.regions.values():
                region.assume(roles, running.clock.monotonic() + 60)
            await scenario(running)

    asyncio.run(main())


def body(answer):
    return msgspec.json.decode(answer.body)


async def opened(s, subject="ada", scopes=("orders:read",), key="k1"):
    answer = await s.request(EU, "POST", "/sessions", {"token": IDP.issue(subject, scopes)}, key=key)
    assert answer.status == 200, answer.body
    return body(answer)


async def asked(s, session, action="GET", resource="orders/7", region=EU):
    answer = await s.request(region, "POST", "/authorize", {"session": session, "action": action, "resource": resource})
    decided = body(answer)
    return decided["policyDocument"]["Statement"][0]["Effect"], decided["context"]["reason"]


def test_a_token_is_exchanged_for_a_session_once(app, tmp_path):
    async def scenario(s):
        token = IDP.issue("ada", ["orders:read"])
        first = await s.request(EU, "POST", "/sessions", {"token": token}, key="k1")
        again = await s.request(EU, "POST", "/sessions", {"token": token}, key="k1")
        assert first.body == again.body
        assert body(first)["subject"] == "ada"
        assert body(await s.request(EU, "GET", f"/sessions/{body(first)['id']}")) == body(first)

    run(app, tmp_path, scenario)


def test_a_key_is_bound_to_the_token_it_came_with(app, tmp_path):
    async def scenario(s):
        await opened(s, "ada", key="k1")
        stolen = await s.request(EU, "POST", "/sessions", {"token": IDP.issue("mallory")}, key="k1")
        assert stolen.status == 422

    run(app, tmp_path, scenario)


def test_a_forged_token_opens_nothing(app, tmp_path):
    async def scenario(s):
        forged = IdentityProvider().issue("ada")
        assert (await s.request(EU, "POST", "/sessions", {"token": forged}, key="k1")).status == 401

    run(app, tmp_path, scenario)


def test_what_is_not_granted_is_denied(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        assert await asked(s, session) == ("Allow", "granted by scope")
        assert await asked(s, session, "POST") == ("Deny", "not granted")
        assert await asked(s, "no-such-session") == ("Deny", "no such session")

    run(app, tmp_path, scenario)


def test_a_revoked_session_is_denied_at_the_next_question_and_in_the_standby_too(app, tmp_path):
    async def scenario(s):
        token = IDP.issue("ada", ["orders:read"])
        session = (await opened(s))["id"]
        revoked = await s.request(EU, "POST", "/revocations", {"token": token, "session": session}, key="r1")
        assert revoked.status == 200
        assert await asked(s, session) == ("Deny", "revoked")
        assert (await s.request(EU, "GET", f"/sessions/{session}")).status == 404
        await s.settled()
        assert await asked(s, session, region=US) == ("Deny", "revoked")

    run(app, tmp_path, scenario)


def test_all_sessions_of_a_subject_end_and_new_ones_may_begin(app, tmp_path):
    async def scenario(s):
        first, second = (await opened(s, key="k1"))["id"], (await opened(s, key="k2"))["id"]
        admin = IDP.issue("root", ["sessions:revoke"])
        await s.request(EU, "POST", "/revocations", {"token": admin, "subject": "ada"}, key="r1")
        assert [await asked(s, session) for session in (first, second)] == [("Deny", "revoked")] * 2
        await asyncio.sleep(0.01)  # a session that begins in the very millisecond of the revocation has ended, too
        assert await asked(s, (await opened(s, key="k3"))["id"]) == ("Allow", "granted by scope")

    run(app, tmp_path, scenario)


def test_nobody_ends_another_ones_sessions_without_the_scope(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        mallory = {"token": IDP.issue("mallory"), "session": session}
        assert (await s.request(EU, "POST", "/revocations", mallory, key="r1")).status == 403
        assert await asked(s, session) == ("Allow", "granted by scope")
        both = {"token": IDP.issue("ada"), "session": session, "subject": "ada"}
        assert (await s.request(EU, "POST", "/revocations", both, key="r2")).status == 422

    run(app, tmp_path, scenario)


def test_the_standby_answers_questions_but_opens_no_session(app, tmp_path):
    async def scenario(s):
        session = (await opened(s))["id"]
        await s.settled()
        assert await asked(s, session, region=US) == ("Allow", "granted by scope")
        refused = await s.request(US, "POST", "/sessions", {"token": IDP.issue("ada")}, key="k2")
        assert (refused.status, dict(refused.headers)["proa-not-started"]) == (503, "true")

    run(app, tmp_path, scenario)
