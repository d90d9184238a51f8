"""Credentials that must not be believed, each sent through a region's whole front door.

Every one of them is a 401 as problem+json that says how to come in, counted under its reason; and nothing that was sent
comes back in the answer, in an event or in a log line.
"""

import asyncio
import hmac
import io
import json
import logging
import sys
import time
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import pytest
import structlog

from proa import ApiKeys, App, Oidc, Principal
from proa.core.identity import apikey
from proa.observe import logs
from support.asgi import ask
from support.inproc import system
from support.issuer import AUDIENCE, ISSUER, JWKS, Issuer, b64, part


def issuer(name, algorithm):
    """Tokens are made when this file is read, and good for longer than any run of the tests."""
    return Issuer(time.time, name, algorithm, lifetime_s=7200)


RSA = issuer("rsa", "RS256")
EC = issuer("ec", "ES256")
ED = issuer("ed", "EdDSA")
STRANGER = issuer("stranger", "ES256")


def shop():
    app = App("shop", regions=["eu"])
    app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS), ApiKeys())

    @app.get("/me")
    async def me(who: Principal) -> str:
        return who.subject

    @app.get("/open", auth=None)
    async def open_to_all() -> str:
        return "open"

    return app


def hmac_with(secret, header=None):
    """A token signed with a shared secret: whatever the attacker knows."""
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'} | (header or {}))}.{part(RSA.claims())}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def flipped(token, at):
    """The token with one bit of one of its characters' meaning changed."""
    parts = token.split(".")
    index = {"header": 0, "claims": 1, "signature": 2}[at]
    old = parts[index]
    middle = len(old) // 2
    parts[index] = old[:middle] + ("A" if old[middle] != "A" else "B") + old[middle + 1 :]
    return ".".join(parts)


def moved(token, claims):
    """The header and signature of one token around other claims."""
    header, _, signature = token.split(".")
    return f"{header}.{part(claims)}.{signature}"


def embedded():
    """Signed by the attacker's key, which the header brings along."""
    return STRANGER.token({"jwk": STRANGER.key.as_dict(private=False)})


class Attack(NamedTuple):
    name: str
    reason: str
    headers: list[tuple[str, str]]


def bearer(name, reason, token):
    return Attack(name, reason, [("Authorization", f"Bearer {token}")])


PEM = RSA.key.as_pem(private=False)
DER = RSA.key.as_der(private=False)
NONE = f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(RSA.claims())}."
NONE_SIGNED = f"{part({'alg': 'none', 'kid': 'rsa'})}.{part(RSA.claims())}.AA"
ENDLESS = f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"ada","exp":1e999}}'
KEY = apikey.shown("0" * 16, "f" * 64)
ATTACKS = [
    Attack("no credentials", "missing", []),
    Attack("an empty header", "malformed", [("Authorization", "")]),
    Attack("another scheme", "malformed", [("Authorization", "Basic YWRhOmFkYQ==")]),
    Attack("a bearer of nothing", "malformed", [("Authorization", "Bearer ")]),
    Attack("a token without a scheme", "malformed", [("Authorization", RSA.token())]),
    Attack("two headers", "several", [("Authorization", f"Bearer {RSA.token()}")] * 2),
    Attack("two tokens in one", "several", [("Authorization", f"Bearer {RSA.token()}, Bearer {EC.token()}")]),
    Attack("a token and a key", "several", [("Authorization", f"Bearer {RSA.token()}"), ("X-API-Key", KEY)]),
    # Algorithms.
    bearer("HS256 with the public key as PEM", "algorithm", hmac_with(PEM)),
    bearer("HS256 with the public key as DER", "algorithm", hmac_with(DER)),
    bearer("HS256 with the modulus", "algorithm", hmac_with(RSA.public()["n"].encode())),
    bearer("HS256 with an empty secret", "algorithm", hmac_with(b"")),
    bearer("HS256 under the name of RS256", "signature", hmac_with(PEM, {"alg": "RS256"})),
    bearer("none without a signature", "malformed", NONE),
    bearer("none with a signature", "algorithm", NONE_SIGNED),
    bearer("None, in other letters", "algorithm", RSA.token({"alg": "NoNe"})),
    bearer("an algorithm that is not taken", "algorithm", issuer("ps", "PS256").token({"kid": "rsa"})),
    bearer("an RSA key asked to verify a curve", "algorithm", EC.token({"kid": "rsa"})),
    bearer("a curve asked to verify RSA", "algorithm", RSA.token({"kid": "ec"})),
    bearer("no algorithm", "algorithm", RSA.token({"alg": None})),
    bearer("a list of algorithms", "algorithm", RSA.token({"alg": ["RS256"]})),
    # Keys.
    bearer("an unknown key id", "unknown_key", STRANGER.token()),
    bearer("a known key id, another key", "signature", STRANGER.token({"kid": "ec"})),
    bearer("no key id", "no_key_id", RSA.token({"kid": None})),
    bearer("a path for a key id", "unknown_key", RSA.token({"kid": "../../../../dev/null"})),
    bearer("SQL for a key id", "unknown_key", RSA.token({"kid": "x' UNION SELECT 'secret'--"})),
    bearer("a NUL in the key id", "unknown_key", RSA.token({"kid": "rsa\x00"})),
    bearer("a number for a key id", "unknown_key", RSA.token({"kid": 0})),
    bearer("a huge key id", "unknown_key", RSA.token({"kid": "k" * 1000})),
    bearer("a key that is too short", "unknown_key", STRANGER.token({"kid": "short"})),
    bearer("a key for encryption", "unknown_key", STRANGER.token({"kid": "encrypts"})),
    bearer("a shared secret that was published", "unknown_key", STRANGER.token({"kid": "oct"})),
    bearer("a private key that was published", "unknown_key", STRANGER.token({"kid": "leaked"})),
    bearer("an embedded key", "header", embedded()),
    bearer("a key to fetch", "header", STRANGER.token({"jku": "https://evil.example/jwks"})),
    bearer("a certificate to fetch", "header", STRANGER.token({"x5u": "https://evil.example/cert"})),
    bearer("a certificate", "header", STRANGER.token({"x5c": ["MIIB"]})),
    bearer("an extension that must be understood", "header", RSA.token({"crit": ["exp"]})),
    bearer("another kind of token", "header", RSA.token({"typ": "logout+jwt"})),
    # Claims.
    bearer("expired", "expired", RSA.token(exp=int(time.time()) - 3600)),
    bearer("not yet valid", "not_yet", RSA.token(nbf=int(time.time()) + 3600)),
    bearer("issued in the future", "not_yet", RSA.token(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200)),
    bearer("valid for a year", "lifetime", RSA.token(exp=int(time.time()) + 365 * 86400)),
    bearer("another issuer", "issuer", RSA.token(iss="https://idp.example.evil")),
    bearer("no issuer", "claims", RSA.token(iss=None)),
    bearer("a list of issuers", "claims", RSA.token(iss=[ISSUER])),
    bearer("another audience", "audience", RSA.token(aud="bank")),
    bearer("no audience", "claims", RSA.token(aud=None)),
    bearer("no subject", "claims", RSA.token(sub=None)),
    bearer("no expiry", "claims", RSA.token(exp=None)),
    bearer("an expiry in words", "claims", RSA.token(exp="tomorrow")),
    bearer("an expiry that is true", "claims", RSA.token(exp=True)),
    bearer("an expiry of four hundred digits", "claims", RSA.token(exp=10**400)),
    bearer(
        "an expiry beyond what floats hold",
        "claims",
        RSA.signed(RSA.header(), ENDLESS),
    ),
    bearer("a subject that is a list", "claims", RSA.token(sub=["ada", "root"])),
    bearer("scopes that are an object", "claims", RSA.token(scope={"orders:write": True})),
    # Form.
    bearer("oversized", "oversized", RSA.token(filler="x" * 8192)),
    bearer("a claim twice", "malformed", RSA.signed(RSA.header(), '{"sub":"ada","sub":"root"}')),
    bearer("a header twice", "malformed", RSA.signed('{"alg":"RS256","kid":"rsa","kid":"ec"}', RSA.claims())),
    bearer("not a number", "malformed", RSA.signed(RSA.header(), '{"exp":NaN}')),
    bearer("claims that are no object", "malformed", RSA.signed(RSA.header(), "[]")),
    bearer("five thousand brackets", "malformed", RSA.signed(RSA.header(), "[" * 5000)),
    bearer("cut in the signature", "signature", RSA.token()[:-2]),
    bearer("cut to two parts", "malformed", RSA.token().rpartition(".")[0]),
    bearer("cut to an empty signature", "malformed", RSA.token().rpartition(".")[0] + "."),
    bearer("five parts", "malformed", "a.b.c.d.e"),
    bearer("padded", "malformed", RSA.token() + "=="),
    bearer("a bit of the header", "malformed", flipped(RSA.token(), "header")),
    bearer("a bit of the signature", "signature", flipped(RSA.token(), "signature")),
    bearer("a bit of an EdDSA signature", "signature", flipped(ED.token(), "signature")),
    bearer("other claims", "signature", moved(RSA.token(), RSA.claims(sub="root"))),
    bearer("other claims, elliptic", "signature", moved(EC.token(), EC.claims(sub="root"))),
    bearer("a signature of zeros", "signature", EC.token().rpartition(".")[0] + "." + b64(bytes(64))),
    bearer("letters of another script", "malformed", "\u00fc" + RSA.token()),
    # API keys.
    Attack("an unknown API key", "api_key", [("X-API-Key", KEY)]),
    bearer("an unknown API key as a bearer", "api_key", KEY),
    Attack("an API key without a secret", "api_key", [("X-API-Key", "proa_0000000000000000_")]),
    Attack("a token as an API key", "malformed", [("X-API-Key", RSA.token())]),
]


def published():
    """What the provider publishes: three good keys among some that must not be used."""
    extra = [
        {"kty": "RSA", "kid": "short", "n": b64((1 << 1023 | 1).to_bytes(128)), "e": "AQAB"},
        STRANGER.public() | {"kid": "encrypts", "use": "enc"},
        STRANGER.key.as_dict(private=True) | {"kid": "leaked"},
        {"kty": "oct", "kid": "oct", "k": b64(b"secret")},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "new", "kid": "new"},
    ]
    good = [issuer.public() for issuer in (RSA, EC, ED)]
    return json.dumps({"keys": [*extra, *good]}).encode()


@asynccontextmanager
async def open_shop(folder):
    async with system(shop(), folder, {JWKS: published()}) as running:
        yield running["eu"], running


def counted(region, reason):
    line = f'proa_credentials_refused_total{{region="eu",reason="{reason}"}} '
    return next(
        (float(row.removeprefix(line)) for row in region.metrics.text().splitlines() if row.startswith(line)), 0
    )


def secrets_of(attack):
    """What of an attack must not turn up anywhere: each longer word of what was sent."""
    words = [word for _, value in attack.headers for word in value.replace(",", " ").replace(".", " ").split()]
    return [word for word in words if len(word) > 20]


@pytest.fixture
def lines(monkeypatch):
    """What a region logs, debug included."""
    written = io.BytesIO()
    stderr = io.TextIOWrapper(written)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        logs.setup("eu", "debug")
    yield lambda: written.getvalue().decode()
    logging.getLogger().handlers = []
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    stderr.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_refused_counted_and_not_repeated_to_anybody(attack, tmp_path, lines):
    async def main():
        async with open_shop(tmp_path) as (region, running):
            region._ports.hub.subscribe(logs.subscriber)
            reply = await ask(region.gateway, "GET", "/me", headers=attack.headers)
            return reply, counted(region, attack.reason), running.events

    reply, count, events = asyncio.run(main())
    assert (reply.status, reply.headers["content-type"]) == (401, "application/problem+json")
    assert reply.json["code"] == "PROA-H402"
    assert reply.headers["www-authenticate"].startswith('Bearer realm="shop"')
    assert ('error="invalid_token"' in reply.headers["www-authenticate"]) == (attack.reason != "missing")
    assert count == 1, "refused for another reason"
    told = json.dumps([reply.headers, reply.json]) + repr(events) + lines()
    assert [secret for secret in secrets_of(attack) if secret in told] == []
    assert "credentials refused" in told


@pytest.mark.parametrize("right", [RSA, EC, ED], ids=lambda right: right.algorithm)
def test_what_is_right_is_believed(right, tmp_path):
    """The attacks fail for what they change, and not because nothing passes."""

    async def main():
        async with open_shop(tmp_path) as (region, _):
            return await ask(region.gateway, "GET", "/me", headers=[("Authorization", f"bEaReR {right.token()}")])

    reply = asyncio.run(main())
    assert (reply.status, reply.json) == (200, "ada")


def test_a_thousand_made_up_key_ids_are_one_question_to_the_provider(tmp_path):
    async def main():
        async with open_shop(tmp_path) as (region, running):
            await ask(region.gateway, "GET", "/me", headers=[("Authorization", f"Bearer {RSA.token()}")])
            for number in range(1000):
                made_up = f"{part({'alg': 'ES256', 'kid': f'k{number}'})}.{part(EC.claims())}.AAAA"
                reply = await ask(region.gateway, "GET", "/me", headers=[("Authorization", f"Bearer {made_up}")])
                assert reply.status == 401
            return running.outside.asked, counted(region, "unknown_key")

    asked, count = asyncio.run(main())
    assert (asked, count) == ([JWKS], 1000)


def test_a_handler_that_raises_leaves_no_credentials_in_the_log(tmp_path, lines):
    async def main():
        app = shop()

        @app.get("/broken")
        async def broken(who: Principal) -> str:
            raise RuntimeError(f"nothing works for {who.subject}")

        async with system(app, tmp_path, {JWKS: published()}) as running:
            running["eu"]._ports.hub.subscribe(logs.subscriber)
            token = RSA.token()
            reply = await ask(running["eu"].gateway, "GET", "/broken", headers=[("Authorization", f"Bearer {token}")])
            return token, reply

    token, reply = asyncio.run(main())
    told = lines()
    assert reply.status == 500
    assert "nothing works for ada" in told
    assert [word for word in token.split(".") if word in told] == []


def test_a_principal_holds_no_part_of_what_was_sent(tmp_path):
    async def main():
        async with open_shop(tmp_path) as (region, _):
            token = RSA.token()
            await ask(region.gateway, "GET", "/me", headers=[("Authorization", f"Bearer {token}")])
            return token, msgspec.json.encode(region.authenticator._memory.get(f"Bearer {token}").principal).decode()

    token, principal = asyncio.run(main())
    assert [word for word in token.split(".") if word in principal] == []


def test_a_route_for_anybody_asks_nobody(tmp_path):
    async def main():
        async with open_shop(tmp_path) as (region, _):
            wrong = [("Authorization", "Bearer nonsense")]
            return [(await ask(region.gateway, "GET", "/open", headers=sent)).status for sent in ([], wrong)]

    assert asyncio.run(main()) == [200, 200]
