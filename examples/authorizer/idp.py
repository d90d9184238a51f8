"""A small identity provider for the laptop: it holds signing keys, publishes them as a JWKS and issues tokens.

It stands in for the real one (Keycloak, Entra ID, Cognito) and does what matters to a relying party: keys have ids, are
rotated, and the previous key stays published until its last token has expired. It issues a token to whoever asks, so
it listens on loopback only.

    python examples/authorizer/idp.py --port 8790
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, Literal

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

Algorithm = Literal["RS256", "ES256", "EdDSA"]
Signing = tuple[Algorithm, RSAKey | ECKey | OKPKey]
ISSUER = "https://idp.example"
AUDIENCE = "authorizer"
PORT = 8790
PUBLISHED_KEYS = 2
"""The signing key and its predecessor."""


def _new_key(algorithm: Algorithm) -> RSAKey | ECKey:
    parameters = {"kid": secrets.token_hex(8), "alg": algorithm, "use": "sig"}
    if algorithm == "RS256":
        return RSAKey.generate_key(2048, parameters=parameters)
    return ECKey.generate_key("P-256", parameters=parameters)


def _part(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _key_of(phrase: str) -> OKPKey:
    """A key that anybody can make who knows the phrase: for worlds that are simulated, and nothing else."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(phrase.encode()).digest())
    parts = {"d": private.private_bytes_raw(), "x": private.public_key().public_bytes_raw()}
    encoded = {name: _part(part) for name, part in parts.items()}
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "kid": "phrase", "use": "sig", **encoded})


class IdentityProvider:
    """Keys and tokens; no network. With a `phrase` its first key is made of that, and its tokens repeat themselves."""

    def __init__(self, issuer: str = ISSUER, clock: Callable[[], float] = time.time, phrase: str = "") -> None:
        self.issuer = issuer
        self._clock = clock
        first: Signing = ("EdDSA", _key_of(phrase)) if phrase else ("RS256", _new_key("RS256"))
        self._keys: list[Signing] = [first]
        self._count = count()

    def rotate(self, algorithm: Algorithm = "RS256") -> None:
        """Sign with a new key from now on; keep the last one published for the tokens it has signed."""
        self._keys = [(algorithm, _new_key(algorithm)), *self._keys][:PUBLISHED_KEYS]

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys, as RFC 7517 has them."""
        return {"keys": [dict(key.as_dict(private=False)) for _, key in self._keys]}

    def issue(
        self, subject: str, scopes: Sequence[str] = (), *, audience: str = AUDIENCE, lifetime_s: float = 300
    ) -> str:
        """A signed token for `subject`."""
        algorithm, key = self._keys[0]
        now = int(self._clock())
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "sub": subject,
            "scope": " ".join(scopes),
            "iat": now,
            "exp": now + int(lifetime_s),
            "jti": hashlib.sha256(f"{subject} {now} {next(self._count)}".encode()).hexdigest()[:16],
        }
        text = ".".join(_part(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": key.kid}, claims))
        return f"{text}.{_part(JWSRegistry.algorithms[algorithm].sign(text.encode(), key))}"


def http(provider: IdentityProvider) -> web.Application:
    """The provider's three endpoints."""

    async def jwks(_: web.Request) -> web.Response:
        return web.json_response(provider.jwks())

    async def token(request: web.Request) -> web.Response:
        asked = await request.json()
        issued = provider.issue(
            asked["subject"], asked.get("scopes", ()), lifetime_s=float(asked.get("lifetime_s", 300))
        )
        return web.json_response({"token": issued})

    async def rotate(request: web.Request) -> web.Response:
        provider.rotate(request.query.get("alg", "RS256"))  # type: ignore[arg-type]
        return web.json_response({"kid": provider.jwks()["keys"][0]["kid"]})

    server = web.Application()
    server.add_routes([web.get("/.well-known/jwks.json", jwks), web.post("/token", token), web.post("/rotate", rotate)])
    return server


@asynccontextmanager
async def serving(provider: IdentityProvider, port: int = PORT) -> AsyncIterator[str]:
    """Serve on loopback while the block runs; yields the JWKS address. Port 0 takes a free one."""
    runner = web.AppRunner(http(provider), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/.well-known/jwks.json"
    finally:
        await runner.cleanup()


async def _main(port: int, *, until_eof: bool) -> None:
    async with serving(IdentityProvider(), port) as url:
        print(url, flush=True)  # noqa: T201 - a program of its own: this line is its output
        await (asyncio.to_thread(sys.stdin.read) if until_eof else asyncio.Event().wait())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input closes")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(options.port, until_eof=options.until_eof))
