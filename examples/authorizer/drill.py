"""The drill of the authorizer: sessions are opened and questions asked while a region is lost.

Before the fault some sessions are opened, and some of those revoked. Every answer is looked at: a session from before
must be good, and a revoked one must not, in whichever region answers. The identity provider is started beside the
system and stays up; its own outage is a drill of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import ClassVar
from unittest.mock import patch

import msgspec
from idp import IdentityProvider

from proa.chaos import workload
from proa.chaos.workload import Request, Send

JWKS_URL = "AUTHORIZER_JWKS_URL"
SIMULATED_URL = "http://127.0.0.1:8790/.well-known/jwks.json"
SIMULATED_FROM_S = 1_700_000_000 - 600
"""Ten minutes before the worlds of a simulation begin, whose clocks may be wrong."""
TOKEN = "AUTHORIZER_DRILL_TOKEN"  # noqa: S105 - the name of the variable, not a secret
SCOPES = ("orders:read", "authorize:ask")
LIFETIME_S = 3600
SESSIONS = 20
FEW_SESSIONS = 4
REVOKED_EVERY = 4
"""One session in so many is revoked before the fault."""


class Workload(workload.Workload):
    """Half of the requests open a session, the others ask about one; a session's `device` is its Idempotency-Key."""

    counted: ClassVar[Mapping[str, str]] = {"sessions": "device"}

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.revoked: set[str] = set()

    def surroundings(self) -> AbstractContextManager[Mapping[str, str]]:
        """The identity provider, and one token of it that outlives the drill."""
        return _identity_provider()

    @contextmanager
    def simulated(self) -> Generator[None]:
        """A token of the provider whose keys `documents` has."""
        with patch.dict(os.environ, {TOKEN: _simulated().issue("drill", SCOPES, lifetime_s=LIFETIME_S)}):
            yield

    def documents(self) -> Mapping[str, bytes]:
        """The simulated provider's keys."""
        return {SIMULATED_URL: json.dumps(_simulated().jwks()).encode()}

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What every request shows."""
        return (("Authorization", f"Bearer {os.environ[TOKEN]}"),)

    async def setup(self, send: Send) -> None:
        """Open the sessions that the questions are about, and revoke some."""
        for number in range(FEW_SESSIONS if self.small else SESSIONS):
            opened = msgspec.json.decode(await send(self._open_session(f"drill-setup-{number}")))
            self.sessions.append(opened["id"])
            if number % REVOKED_EVERY == 0:
                await send(self._revoke(opened["id"]))
                self.revoked.add(opened["id"])

    def request(self, number: int, rng: Random) -> Request:
        """Open a session, or ask about one."""
        kind = rng.random()
        session = rng.choice(self.sessions)
        if kind < 0.5:
            return self._open_session(f"drill-{number}-{rng.getrandbits(48):012x}")
        if kind < 0.6 and session not in self.revoked:
            return Request("GET", f"/sessions/{session}", headers=self.headers())
        question = {"session": session, "action": "GET", "resource": f"orders/{number}"}
        return Request("POST", "/authorize", msgspec.json.encode(question), headers=self.headers())

    def examine(self, request: Request, answer: bytes) -> str | None:
        """Sessions from before the fault are good, and those revoked before it are not."""
        if request.path != "/authorize":
            return None
        session = msgspec.json.decode(request.body)["session"]
        decided = msgspec.json.decode(answer)
        effect = decided["policyDocument"]["Statement"][0]["Effect"]
        expected = "Deny" if session in self.revoked else "Allow"
        why = decided["context"]["reason"]
        return "" if effect == expected else f"a session from before was answered {effect} ({why}), not {expected}"

    def read_back(self, request: Request, answer: bytes) -> Request | None:
        """A session that was acknowledged must be readable."""
        if request.path != "/sessions":
            return None
        return Request("GET", f"/sessions/{msgspec.json.decode(answer)['id']}", headers=self.headers())

    def _open_session(self, key: str) -> Request:
        return self._keyed("/sessions", {"device": key}, key)

    def _revoke(self, session: str) -> Request:
        return self._keyed("/revocations", {"session": session}, f"revoke-{session}")

    def _keyed(self, path: str, body: Mapping[str, str], key: str) -> Request:
        return Request("POST", path, msgspec.json.encode(body), key=key, headers=self.headers())


def _simulated() -> IdentityProvider:
    """With a key of a fixed phrase, so that a seed repeats a world."""
    return IdentityProvider(clock=lambda: SIMULATED_FROM_S, phrase="a simulation")


@contextmanager
def _identity_provider() -> Generator[Mapping[str, str]]:
    """The provider in a process of its own, on a free port; it ends with this block, or with this process."""
    program = [sys.executable, str(Path(__file__).with_name("idp.py")), "--port", "0", "--until-eof"]
    with subprocess.Popen(  # noqa: S603 - this interpreter and a file beside this one
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the drill, which then ends this
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            jwks_url = process.stdout.readline().strip()
            yield {JWKS_URL: jwks_url, TOKEN: _token(jwks_url)}
        finally:
            process.stdin.close()


def _token(jwks_url: str) -> str:
    """A token of the provider whose keys are at `jwks_url`."""
    wanted = {"subject": "drill", "scopes": SCOPES, "lifetime_s": LIFETIME_S}
    request = urllib.request.Request(  # noqa: S310 - the address of the process started above
        jwks_url.replace("/.well-known/jwks.json", "/token"), json.dumps(wanted).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        return json.load(answer)["token"]
