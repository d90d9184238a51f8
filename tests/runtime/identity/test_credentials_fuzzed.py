"""Whatever stands in the headers is a principal, a 401, or "nobody can tell"; never a defect."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from proa import ApiKeys, App, Oidc
from proa.core.identity import apikey
from proa.declare.http import Request
from proa.errors import KeysUnavailable, Unauthorized
from proa.observe.hub import Hub
from proa.runtime.identity.authenticator import Authenticator
from support.ends import ManualClock
from support.inproc import Documents
from support.issuer import AUDIENCE, ISSUER, JWKS, Issuer, b64, part

CLOCK = ManualClock(1_800_000_000.0)
EC = Issuer(CLOCK.now, "ec", "ES256")
ED = Issuer(CLOCK.now, "ed", "EdDSA")
RIGHT = [EC.token(), ED.token()]


class Empty:
    """A store without rows."""

    async def read(self, keys):
        return [None] * len(keys)


def authenticator():
    app = App("shop", regions=["eu"])
    app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS), ApiKeys())
    return Authenticator("shop", app.authentication, Empty(), Documents({JWKS: EC.jwks(ED)}), CLOCK, Hub())


def judged(headers):
    """Who it is, or the status of the refusal."""

    async def main():
        try:
            return (await authenticator().authenticate(Request("GET", "/", "", headers, b""))).subject
        except (Unauthorized, KeysUnavailable) as error:
            return error.status

    return asyncio.run(main())


def test_what_is_right_passes():
    assert [judged({"authorization": f"Bearer {token}"}) for token in RIGHT] == ["ada", "ada"]


LATIN = st.text(st.characters(max_codepoint=255))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["authorization", "x-api-key"]), LATIN))
def test_any_headers(headers):
    assert judged(headers) == 401


@given(st.sampled_from(["Bearer ", "bearer", "Basic ", apikey.PREFIX, ""]), LATIN)
def test_any_text_behind_a_scheme(scheme, text):
    assert judged({"authorization": scheme + text}) == 401


@given(st.sampled_from(RIGHT), st.data())
def test_a_right_token_with_a_piece_replaced(token, data):
    start = data.draw(st.integers(0, len(token) - 1))
    end = data.draw(st.integers(start, min(len(token), start + 8)))
    changed = token[:start] + data.draw(LATIN) + token[end:]
    assert judged({"authorization": f"Bearer {changed}"}) == ("ada" if changed.strip() == token else 401)


@given(st.dictionaries(st.sampled_from([*EC.header(), "jwk", "crit", "x"]), JSON, max_size=3))
def test_a_truly_signed_token_with_any_header(changes):
    header = EC.header() | changes
    found = judged({"authorization": f"Bearer {EC.signed(header, EC.claims())}"})
    assert found in (401, "ada")
    if found == "ada":
        assert (header["alg"], header["kid"]) == ("ES256", "ec")


@given(st.dictionaries(st.sampled_from([*EC.claims(), "nbf", "x"]), JSON, max_size=4))
def test_a_truly_signed_token_with_any_claims(changes):
    claims = EC.claims() | changes
    found = judged({"authorization": f"Bearer {EC.signed(EC.header(), claims)}"})
    if found != 401:
        assert found == claims["sub"]
        assert (claims["iss"], AUDIENCE in claims["aud"]) == (ISSUER, True)


@given(st.binary(max_size=64), st.sampled_from(["ES256", "EdDSA", "RS256"]), st.sampled_from(["ec", "ed"]))
def test_any_signature(signature, algorithm, key_id):
    header = {"alg": algorithm, "kid": key_id}
    assert judged({"authorization": f"Bearer {part(header)}.{part(EC.claims())}.{b64(signature)}"}) == 401
