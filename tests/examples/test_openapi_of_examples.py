"""What the examples document is what they do: schemathesis, through the front door, over a real socket.

For each route some requests are made of the schema alone: whatever they are, the answer is documented, and no 5xx.
Others are made to refer to what exists; of these at least half succeed.
"""

import asyncio
import threading
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from idp import IdentityProvider
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from proa.app import load_app
from proa.core.roles import Assignment
from proa.declare.openapi import document
from proa.local.http import http_server
from proa.runtime.config import Address
from support.front import ask
from support.inproc import system
from support.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("authorizer", "game-sessions", "mounted", "payments", "payouts", "registration")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FEW = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def serving(app, folder, prepare):
    """The app's first region on a port, in a thread of its own; yields its address."""
    port, up, stop = free_port(), threading.Event(), []

    async def run():
        down = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(down.set))
        async with AsyncExitStack() as others, system(app, folder, JWKS) as running:
            region = running[app.regions[0]]
            roles = dict.fromkeys(app.regions, "standby" if app.topology == "active-passive" else "active")
            roles[app.active] = "active"
            region.assume(Assignment(1, app.topology, roles), float("inf"))
            await prepare(lambda *asked, **headers: ask(region.gateway, *asked, **headers), others)
            async with http_server(region.gateway, Address("127.0.0.1", port), app.front):
                up.set()
                await down.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert up.wait(20)
        yield f"http://127.0.0.1:{port}"
    finally:
        for end in stop:
            end()
        thread.join(20)


async def nothing(_ask, _others):
    """What exists in an app without rows will do."""


async def beside(http, others):
    """The port on which something else serves meanwhile; it ends with the `others`."""
    runner = web.AppRunner(http)
    await runner.setup()
    others.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


async def open_account(ask, others):
    import bank

    bank.URL = f"http://127.0.0.1:{await beside(bank.http(), others)}"
    answer = await ask("PUT", "/accounts/ada", {"currency": "EUR", "limit": 10**12})
    assert answer.status == 200
    spent = {"account": "ada", "amount": 1, "currency": "EUR"}
    charged = await ask("POST", "/charges", spent, idempotency_key="first")
    PAYMENTS["/charges/{id}"]["id"] = charged.json["id"]
    await ask("PUT", "/customers/ada/preferences", {})


async def open_wallet(ask, others):
    import clearing

    clearing.PORT = await beside(clearing.http(clearing.Ledger()), others)
    assert (await ask("PUT", "/wallets/ada", {"left": 10**12})).status == 200
    begun = await ask("POST", "/payouts", {"wallet": "ada", "account": "DE02", "amount": 1}, idempotency_key="first")
    PAYOUTS["/payouts/{id}"]["id"] = PAYOUTS["/payouts/{id}/stop"]["id"] = begun.json["id"]


async def play(ask, _others):
    played = await ask("POST", "/sessions/s1/plays", {"player": "ada", "points": 3}, idempotency_key="first")
    GAMES["/plays/{id}"]["id"] = played.json["id"]
    await ask("PUT", "/players/ada/status", {"text": "here"})


async def sign_up(ask, _others):
    signed = await ask("POST", "/members", {"email": "ada@example.org", "name": "Ada"}, idempotency_key="first")
    assert signed.status == 200, signed.body
    MEMBERS["/members/{id}"]["id"] = MEMBERS["/members/{id}/profile"]["id"] = signed.json["id"]
    MEMBERS["/mails/{member}"]["member"] = signed.json["id"]
    async with asyncio.timeout(15):
        for path in (f"/members/{signed.json['id']}/profile", f"/mails/{signed.json['id']}"):
            while (await ask("GET", path)).status != 200:  # what follows from a sign-up comes by events
                await asyncio.sleep(0.02)


PAYMENTS = {
    "/accounts/{id}": {"id": "ada", "currency": "EUR", "limit": 10**12},
    "/charges": {"account": "ada", "amount": 1, "currency": "EUR"},
    "/charges/{id}": {},
    "/customers/{id}/preferences": {"id": "ada"},
}
PAYOUTS = {
    "/wallets/{id}": {"id": "ada"},
    "/payouts": {"wallet": "ada"},
    "/payouts/{id}": {},
    "/payouts/{id}/stop": {},
}
GAMES = {"/sessions/{id}": {"id": "s1"}, "/plays/{id}": {}, "/players/{player}/status": {"player": "ada"}}
MEMBERS = {
    "/members/{id}": {},
    "/members/{id}/profile": {},
    "/mails/{member}": {},
    "/days/{region}": {"region": "eu-west-1"},
}
PROVIDER = IdentityProvider()
JWKS = {"http://127.0.0.1:8790/.well-known/jwks.json": msgspec.json.encode(PROVIDER.jwks())}
TOKEN = "Bearer " + PROVIDER.issue("ada", ["authorize:ask", "sessions:revoke"], lifetime_s=86_400)
AUTHORIZER = {"/sessions/{id}": {}, "/revocations": {"subject": ""}}


async def open_session(ask, _others):
    opened = await ask("POST", "/sessions", {}, idempotency_key="first", authorization=TOKEN)
    AUTHORIZER["/sessions/{id}"]["id"] = AUTHORIZER["/revocations"]["session"] = opened.json["id"]


KNOWN = {
    "authorizer": (AUTHORIZER, open_session),
    "game-sessions": (GAMES, play),
    "payments": (PAYMENTS, open_account),
    "payouts": (PAYOUTS, open_wallet),
    "registration": (MEMBERS, sign_up),
}
"""What exists in an example once it is prepared, by the path that names it."""


def asked_of(schema, path, method, mode):
    """Requests that the document allows, or those that it forbids in some point."""
    return schema[path][method.upper()].as_strategy(generation_mode=mode)


def made_to_refer(case, known):
    """A generated request, changed so that it speaks of what exists."""
    for part in (case.path_parameters, case.body):
        if isinstance(part, dict):
            part.update({name: value for name, value in known.items() if name in part})
    return case


class Operation(NamedTuple):
    """One method of a path, and which requests are made of it: such as are `allowed`; that refer to what is `known`."""

    path: str
    method: str
    allowed: bool
    known: dict[str, object] | None

    def __hash__(self):
        return id(self)

    def statuses(self, schema, session, url):
        """What a few requests are answered, each as documented."""
        found = []
        mode = GenerationMode.POSITIVE if self.allowed else GenerationMode.NEGATIVE

        @FEW
        @given(case=asked_of(schema, self.path, self.method, mode))
        def follow(case):
            if self.known is not None:
                made_to_refer(case, self.known)
            answer = case.call(base_url=url, session=session)
            case.validate_response(answer, checks=CHECKS)
            found.append(answer.status_code)

        follow()
        return found


def operations(documented, known):
    for path, methods in documented["paths"].items():
        for method in methods:
            yield Operation(path, method, allowed=True, known=known.get(path, {}))
            yield Operation(path, method, allowed=True, known=None)
            if "requestBody" in methods[method]:  # of a path alone there is nothing to get wrong
                yield Operation(path, method, allowed=False, known=None)


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_every_answer_is_documented_and_none_is_a_defect(name, tmp_path):
    app = load_app(str(EXAMPLES / name))
    documented = document(app)
    known, prepare = KNOWN.get(name, ({}, nothing))
    schema = schemathesis.openapi.from_dict(documented)
    with serving(app, tmp_path, prepare) as url, requests.Session() as session:
        session.headers["authorization"] = TOKEN
        answered = {one: one.statuses(schema, session, url) for one in list(operations(documented, known))}
    valid = {one: statuses for one, statuses in answered.items() if one.known is not None}
    every = [status for statuses in valid.values() for status in statuses]
    assert sum(status < 400 for status in every) >= len(every) / 2, valid
