"""What everything on costs: token, throttle, validation, key, deadline, metrics and trace beside the bare route.

Both routes store their order durably and replicate it; the guarded one, besides, does all that admission can. And the
peer: FastAPI with a token check, a rate limit and body validation, which stores nothing, beside a route of Proa's that
does just that, and beside the guarded one that stores as well. One core each; the routes in turns, the peer before
them, since a system whose region has to share its core with a busy server may well take that region for lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from joserfc import jwt
from joserfc.jwk import ECKey

from figures import Figure, medians, ratio_at_least
from processes import load, uvicorn
from systems import region_port, system

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ROUNDS = 5
SECONDS = 2
LIFETIME_S = 3600


def run() -> list[Figure]:
    """The peer, then the four routes in turns."""
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "alg": "ES256", "use": "sig"})
    jwks = json.dumps({"keys": [key.as_dict(private=False)]})
    with published(jwks) as url, tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        file = Path(folder) / "jwks.json"
        file.write_text(jwks)
        headers = asked_with(token(key))
        with uvicorn("fastapi_guarded:app", PEERS, {"BENCH_JWKS_FILE": str(file)}) as fastapi:
            (peer,) = medians(ROUNDS, partial(rate, fastapi, "/orders", headers))
        guarded, bare, unkept, nothing = asyncio.run(measured(url, headers))
    return [
        Figure("everything on, stored and replicated", guarded, "req/s", "the bare route", bare, ratio_at_least(0.7)),
        Figure(
            "everything on, stored and replicated",
            guarded,
            "req/s",
            "FastAPI: token, rate, body; nothing stored",
            peer,
            ratio_at_least(1.0),
        ),
        Figure("token, rate and body; nothing stored", unkept, "req/s", "the body alone", nothing),
        Figure("token, rate and body; nothing stored", unkept, "req/s", "FastAPI: token, rate, body", peer),
    ]


def token(key: ECKey) -> str:
    """A token that lets its holder write orders."""
    now = int(time.time())
    claims = {"iss": "https://idp.example", "aud": "bench", "sub": "ada", "scope": "orders:write"}
    return jwt.encode({"alg": "ES256", "kid": "k1"}, {**claims, "iat": now, "exp": now + LIFETIME_S}, key)


@contextmanager
def published(jwks: str) -> Iterator[str]:
    """An identity provider's keys, served on loopback; yields their address."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = jwks.encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/jwks"
        server.shutdown()


def asked_with(bearer: str) -> list[str]:
    """The headers of a client that sends all there is."""
    return [
        f"authorization: Bearer {bearer}",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "proa-deadline-ms: 4000",
    ]


async def measured(jwks_url: str, headers: list[str]) -> list[float]:
    """Requests a second of each route."""
    os.environ["BENCH_JWKS"] = jwks_url
    async with system(str(HERE / "guarded")) as cluster:
        port = region_port(cluster)
        paths = ("/guarded", "/bare", "/unkept", "/nothing")
        return await asyncio.to_thread(medians, ROUNDS, *(partial(rate, port, path, headers) for path in paths))


def rate(port: int, path: str, headers: list[str]) -> float:
    """Requests a second."""
    return load(port, path, SECONDS, headers=headers)["rps"]
