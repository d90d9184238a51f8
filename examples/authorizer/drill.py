"""The drill of the authorizer: sessions are opened and questions asked while a region is lost.

The identity provider is started beside the system and stays up; its own outage is a drill of its own.
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
from tokens import Identity, Verifier

from proa.chaos import workload
from proa.chaos.workload import Request, Send

JWKS_URL = "AUTHORIZER_JWKS_URL"
TOKEN = "AUTHORIZER_DRILL_TOKEN"  # noqa: S105 - the name of the variable, not a secret
LIFETIME_S = 3600
SESSIONS = 20
FEW_SESSIONS = 3


class Workload(workload.Workload):
    """Half of the requests open a session, the others ask about one; a session's `device` is its Idempotency-Key."""

    counted: ClassVar[Mapping[str, str]] = {"sessions": "device"}

    def __init__(self) -> None:
        self.sessions: list[str] = []

    def surroundings(self) -> AbstractContextManager[Mapping[str, str]]:
        """The identity provider, and one token of it that outlives the drill."""
        return _identity_provider()

    @contextmanager
    def simulated(self) -> Generator[None]:
        """A provider whose tokens are believed as they are: a simulation is not about cryptography."""
        with patch.object(Verifier, "verify", _believed), patch.dict(os.environ, {TOKEN: "drill"}):
            yield

    async def setup(self, send: Send) -> None:
        """Open the sessions that the questions are about."""
        for number in range(FEW_SESSIONS if self.small else SESSIONS):
            answer = await send(_open_session(f"drill-setup-{number}"))
            self.sessions.append(msgspec.json.decode(answer)["id"])

    def request(self, number: int, rng: Random) -> Request:
        """Open a session, or ask about one."""
        kind = rng.random()
        session = rng.choice(self.sessions)
        if kind < 0.5:
            return _open_session(f"drill-{number}-{rng.getrandbits(48):012x}")
        if kind < 0.6:
            return Request("GET", f"/sessions/{session}")
        question = {"session": session, "action": "GET", "resource": f"orders/{number}"}
        return Request("POST", "/authorize", msgspec.json.encode(question))

    def read_back(self, request: Request, answer: bytes) -> Request | None:
        """A session that was acknowledged must be readable."""
        if request.path != "/sessions":
            return None
        return Request("GET", f"/sessions/{msgspec.json.decode(answer)['id']}")


async def _believed(_: Verifier, token: str, now: float) -> Identity:
    return Identity(token, frozenset({"orders:read"}), now + LIFETIME_S)


def _open_session(key: str) -> Request:
    body = {"token": os.environ[TOKEN], "device": key}
    return Request("POST", "/sessions", msgspec.json.encode(body), key=key)


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
    wanted = {"subject": "drill", "scopes": ["orders:read"], "lifetime_s": LIFETIME_S}
    request = urllib.request.Request(  # noqa: S310 - the address of the process started above
        jwks_url.replace("/.well-known/jwks.json", "/token"), json.dumps(wanted).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        return json.load(answer)["token"]
