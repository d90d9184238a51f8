"""Tokens taken apart and judged: what is in them, and that no text whatever does more than be refused."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proa.core.identity.principal import Principal
from proa.core.identity.refusal import REASONS, SENTENCES, Refusal
from proa.core.identity.token import BYTES_MAX, Expected, Token, issuer_of, judge, parse
from support.issuer import AUDIENCE, ISSUER, b64, part

NOW = 1_800_000_000.0
EXPECTED = Expected(ISSUER, frozenset({AUDIENCE}), ("ES256",), leeway_s=30, lifetime_max_s=3600)
HEADER = {"alg": "ES256", "kid": "k1"}
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": NOW - 10, "exp": NOW + 290}
SIGNATURE = b64(bytes(64))


def text(header=None, claims=None):
    return f"{part(HEADER if header is None else header)}.{part(CLAIMS if claims is None else claims)}.{SIGNATURE}"


def claimed(**changes):
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
    return Token("", "ES256", "k1", claims)


def refused(work, *args):
    with pytest.raises(Refusal) as caught:
        work(*args)
    return caught.value.reason


def test_a_token_says_by_which_key_and_algorithm_it_is_signed():
    token = parse(text())
    assert (token.algorithm, token.key_id, issuer_of(token)) == ("ES256", "k1", ISSUER)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none", "kid": "k1"}, "algorithm"),
        ({"alg": "nOnE", "kid": "k1"}, "algorithm"),
        ({"kid": "k1"}, "algorithm"),
        ({"alg": ["ES256"], "kid": "k1"}, "algorithm"),
        (HEADER | {"crit": ["exp"]}, "header"),
        (HEADER | {"b64": False}, "header"),
        (HEADER | {"zip": "DEF"}, "header"),
        (HEADER | {"jwk": {"kty": "RSA"}}, "header"),
        (HEADER | {"jku": "https://evil.example/jwks"}, "header"),
        (HEADER | {"x5u": "https://evil.example/cert"}, "header"),
        (HEADER | {"x5c": ["MII"]}, "header"),
        (HEADER | {"typ": "secevent+jwt"}, "header"),
        (HEADER | {"typ": 7}, "header"),
        ({"alg": "ES256"}, "no_key_id"),
        (HEADER | {"kid": 7}, "unknown_key"),
        (HEADER | {"kid": ""}, "unknown_key"),
        (HEADER | {"kid": "k" * 257}, "unknown_key"),
        (HEADER | {"kid": "../../dev/null\0"}, "unknown_key"),
        ('{"alg":"ES256","kid":"k1","kid":"k2"}', "malformed"),
        ('{"alg":"ES256","kid":"k1","x":NaN}', "malformed"),
        ("[]", "malformed"),
        ("[" * 5000, "malformed"),
        ('{"n":' + "9" * 5000 + "}", "malformed"),
        ("", "malformed"),
    ],
)
def test_a_header_that_demands_anything_else_is_refused(header, reason):
    assert refused(parse, text(header)) == reason


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "a.b",
        "a.b.c.d.e",
        "..",
        text()[:-1] + "=",
        text() + "=",
        text().replace(".", "..", 1),
        "ü" + text(),
        text()[:-1] + "*",
        " " + text(),
        f"{text()[:-1]}{'B' if text()[-1] != 'B' else 'C'}",
    ],
)
def test_there_is_one_spelling_of_a_token(spoilt):
    assert refused(parse, spoilt) == "malformed"


def test_a_token_longer_than_eight_kilobytes_is_not_even_taken_apart():
    assert refused(parse, "a" * (BYTES_MAX + 1)) == "oversized"


def test_claims_make_a_principal():
    claims = CLAIMS | {"scope": "orders:read orders:write", "roles": ["admin"], "jti": "t-1", "org": "acme"}
    expected = Expected(ISSUER, frozenset({AUDIENCE}), (), 30, 3600, tenant="org")
    assert judge(Token("", "ES256", "k1", claims), expected, NOW) == Principal(
        "ada",
        scopes=frozenset({"orders:read", "orders:write"}),
        tenant="acme",
        issuer=ISSUER,
        roles=frozenset({"admin"}),
        id="t-1",
        issued_at=NOW - 10,
        expires_at=NOW + 290,
        claims=claims,
    )


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, set()),
        ({"scope": ""}, set()),
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": ["a", "b"]}, {"a", "b"}),
        ({"scp": "a b"}, {"a", "b"}),
        ({"scope": "a", "scp": ["b"]}, {"a"}),
    ],
)
def test_scopes_are_a_text_or_a_list_under_either_name(claims, scopes):
    assert judge(claimed(**claims), EXPECTED, NOW).scopes == scopes


def test_roles_may_lie_inside_an_object():
    nested = Expected(ISSUER, frozenset({AUDIENCE}), (), 30, 3600, roles=("realm_access", "roles"))
    assert judge(claimed(realm_access={"roles": ["admin"]}), nested, NOW).roles == {"admin"}
    assert judge(claimed(realm_access="admin"), nested, NOW).roles == set()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://idp.example.evil"}, "issuer"),
        ({"iss": ...}, "issuer"),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another", "third"]}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": ...}, "claims"),
        ({"aud": {"shop": True}}, "claims"),
        ({"aud": [7]}, "claims"),
        ({"sub": ...}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": 7}, "claims"),
        ({"sub": ["ada"]}, "claims"),
        ({"sub": "a" * 1025}, "claims"),
        ({"exp": ...}, "claims"),
        ({"exp": str(NOW + 300)}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": -1}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"exp": 1e308}, "claims"),
        ({"exp": float("inf")}, "claims"),
        ({"iat": "now"}, "claims"),
        ({"nbf": []}, "claims"),
        ({"jti": 7}, "claims"),
        ({"scope": 7}, "claims"),
        ({"roles": {"admin": True}}, "claims"),
        ({"exp": NOW - 30}, "expired"),
        ({"nbf": NOW + 31}, "not_yet"),
        ({"iat": NOW + 31}, "not_yet"),
        ({"exp": NOW + 3591}, "lifetime"),
        ({"iat": ..., "exp": NOW + 3601}, "lifetime"),
    ],
)
def test_a_claim_that_is_not_as_it_must_be_is_refused(changes, reason):
    assert refused(judge, claimed(**changes), EXPECTED, NOW) == reason


@pytest.mark.parametrize("changes", [{"exp": NOW - 29}, {"nbf": NOW + 30}, {"iat": NOW + 30}, {"aud": ["x", AUDIENCE]}])
def test_a_clock_may_differ_by_the_leeway(changes):
    assert judge(claimed(**changes), EXPECTED, NOW).subject == "ada"


def test_a_token_without_an_age_is_of_any_age():
    assert judge(claimed(iat=...), EXPECTED, NOW).issued_at == 0


def test_every_reason_has_its_sentence():
    assert set(SENTENCES) == set(REASONS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*CLAIMS, *HEADER, "typ", "crit", "jwk", "nbf", "jti", "scope", "scp", "roles"])
OBJECTS = st.dictionaries(NAMES, JSON, max_size=6)


@given(st.text())
@example("." * 3)
def test_any_text_is_a_token_or_refused(anything):
    with contextlib.suppress(Refusal):
        parse(anything)


@given(OBJECTS, OBJECTS, st.binary(min_size=1, max_size=80))
def test_any_header_and_claims_are_a_principal_or_refused(header, claims, signature):
    encoded = f"{part(json.dumps(HEADER | header))}.{part(json.dumps(CLAIMS | claims))}.{b64(signature)}"
    with contextlib.suppress(Refusal):
        token = parse(encoded)
        issuer_of(token)
        assert isinstance(judge(token, EXPECTED, NOW), Principal)


@given(st.integers(0, len(text()) - 1), st.characters())
def test_one_changed_character_never_goes_unseen(at, character):
    """It is refused, or what the signature covers, or the signature, is something else."""
    whole = text()
    changed = whole[:at] + character + whole[at + 1 :]
    with contextlib.suppress(Refusal):
        assert parse(changed) != parse(whole) or changed == whole
