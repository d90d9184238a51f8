"""Tokens are verified by published keys: rotation, outages and forgeries."""

import asyncio
import base64
import hmac
import json
import urllib.request

import pytest
from idp import IdentityProvider, serving
from joserfc import jwt
from joserfc.jwk import RSAKey
from tokens import Identity, KeyCache, KeysUnavailable, Verifier

from proa.errors import Unauthorized

NOW = 1_800_000_000.0
ISSUER, AUDIENCE = "https://idp.example", "authorizer"


class Provider:
    """An identity provider whose network can be cut; counts how often its keys were asked for."""

    def __init__(self) -> None:
        self.idp = IdentityProvider(ISSUER, clock=lambda: NOW)
        self.reachable = True
        self.fetches = 0
        self.monotonic_s = 1000.0
        self.keys = KeyCache(self.fetch, lambda: self.monotonic_s, fresh_s=300, stale_s=3600, cooldown_s=5)
        self.verifier = Verifier(self.keys, issuer=ISSUER, audience=AUDIENCE)

    async def fetch(self):
        self.fetches += 1
        if not self.reachable:
            raise OSError("cut")
        return self.idp.jwks()

    def verify(self, token, now=NOW):
        return asyncio.run(self.verifier.verify(token, now))


@pytest.fixture
def provider():
    return Provider()


def test_a_token_names_its_subject_scopes_and_expiry(provider):
    token = provider.idp.issue("ada", ["orders:read", "orders:write"], lifetime_s=60)
    assert provider.verify(token) == Identity("ada", frozenset({"orders:read", "orders:write"}), NOW + 60)


def test_keys_are_fetched_once_for_many_tokens(provider):
    for _ in range(5):
        provider.verify(provider.idp.issue("ada"))
    assert provider.fetches == 1


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_of_a_rotated_key_is_accepted_at_once_and_the_old_key_lives_on(provider, algorithm):
    old = provider.idp.issue("ada")
    provider.verify(old)
    provider.monotonic_s += 6
    provider.idp.rotate(algorithm)
    assert provider.verify(provider.idp.issue("grace")).subject == "grace"
    assert provider.verify(old).subject == "ada"


def test_forged_key_ids_do_not_flood_the_provider(provider):
    provider.verify(provider.idp.issue("ada"))
    stranger = IdentityProvider(ISSUER, clock=lambda: NOW)
    for _ in range(10):
        with pytest.raises(Unauthorized):
            provider.verify(stranger.issue("mallory"))
    assert provider.fetches == 1


def test_keys_at_hand_serve_on_while_the_provider_is_out(provider):
    token = provider.idp.issue("ada", lifetime_s=7200)
    provider.verify(token)
    provider.reachable = False
    provider.monotonic_s += 3000
    assert provider.verify(token).subject == "ada"


def test_keys_too_old_are_refused_and_return_with_the_provider(provider):
    token = provider.idp.issue("ada", lifetime_s=7200)
    provider.verify(token)
    provider.reachable = False
    provider.monotonic_s += 3601
    with pytest.raises(KeysUnavailable):
        provider.verify(token)
    assert provider.keys.refusing
    provider.reachable = True
    provider.monotonic_s += 6
    asyncio.run(provider.keys.keep_fresh())
    assert not provider.keys.refusing
    assert provider.verify(token).subject == "ada"


def test_a_provider_that_was_never_needed_is_no_failure(provider):
    provider.reachable = False
    asyncio.run(provider.keys.keep_fresh())
    assert (provider.keys.refusing, provider.fetches) == (False, 0)


def test_an_expired_token_is_refused(provider):
    token = provider.idp.issue("ada", lifetime_s=60)
    assert provider.verify(token, NOW + 80).subject == "ada"
    with pytest.raises(Unauthorized, match="expired"):
        provider.verify(token, NOW + 91)


@pytest.mark.parametrize(
    ("issuer", "audience", "claim"), [("https://evil.example", AUDIENCE, "iss"), (ISSUER, "another-app", "aud")]
)
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(provider, issuer, audience, claim):
    provider.idp.issuer = issuer
    with pytest.raises(Unauthorized, match=claim):
        provider.verify(provider.idp.issue("ada", audience=audience))


def test_the_public_key_does_not_pass_for_a_shared_secret(provider):
    published = provider.idp.jwks()["keys"][0]
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mallory", "exp": NOW + 60}
    parts = ({"alg": "HS256", "kid": published["kid"]}, claims)
    signed = b".".join(base64url(json.dumps(part).encode()) for part in parts)
    mac = hmac.digest(RSAKey.import_key(published).as_pem(private=False), signed, "sha256")
    with pytest.raises(Unauthorized):
        provider.verify((signed + b"." + base64url(mac)).decode())


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "é.é.é"])
def test_garbage_is_unauthorized_not_an_error(provider, token):
    with pytest.raises(Unauthorized):
        provider.verify(token)


def test_the_provider_publishes_issues_and_rotates_over_http():
    provider = IdentityProvider()

    def call(url, body=None):
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as answer:
            return json.load(answer)

    async def main():
        async with serving(provider, port=0) as jwks_url:
            base = jwks_url.removesuffix("/.well-known/jwks.json")
            before = await asyncio.to_thread(call, jwks_url)
            rotated = await asyncio.to_thread(call, f"{base}/rotate?alg=ES256", b"")
            after = await asyncio.to_thread(call, jwks_url)
            token = await asyncio.to_thread(call, f"{base}/token", b'{"subject": "ada"}')
            return before, rotated, after, token

    before, rotated, after, token = asyncio.run(main())
    assert [key["kid"] for key in after["keys"]] == [rotated["kid"], before["keys"][0]["kid"]]
    assert all("d" not in key for key in after["keys"])
    assert jwt.decode(token["token"], provider._keys[0][1], algorithms=["ES256"]).claims["sub"] == "ada"
