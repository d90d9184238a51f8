"""Tokens in compact form (RFC 7515, RFC 7519), taken apart and judged before and after their signature is checked.

Two rules carry the safety. What a token says of itself decides nothing but *which* published key must have signed it:
algorithms come from the app, keys never from the token. And there is one spelling of everything: no name twice in an
object, no other base64 of the same bytes, no number that is none; so no two parsers can read one token differently.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, cast

import msgspec

from proa.core.identity.principal import Principal
from proa.core.identity.refusal import Refusal

BYTES_MAX = 8 * 1024
KEY_ID_MAX = 256
NAME_MAX = 1024
TIME_MAX_S = 1e11
"""About the year 5138: a time beyond it is a mistake or an attack."""
FOREIGN_KEYS = ("jwk", "jku", "x5u", "x5c")
"""Headers by which a token brings its own key, or says where to fetch it. None is ever looked at."""
TYPES = ("jwt", "at+jwt", "application/at+jwt", "application/jwt")


class Token(msgspec.Struct, frozen=True):
    """A token whose form is right, and nothing else is known of yet. `text` is all of it."""

    text: str
    algorithm: str
    key_id: str
    claims: Mapping[str, Any]


class Expected(msgspec.Struct, frozen=True):
    """What one issuer's tokens must be like.

    `leeway_s` is how far the issuer's clock may differ from ours. `scope_claims` are looked for in this order, `roles`
    is the path of the claim that holds them, `tenant` the claim that says to whom the subject belongs.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: tuple[str, ...]
    leeway_s: float
    lifetime_max_s: float
    scope_claims: tuple[str, ...] = ("scope", "scp")
    roles: tuple[str, ...] = ("roles",)
    tenant: str = ""


def parse(text: str) -> Token:
    """Take a token apart; Refusal where its form is wrong."""
    if len(text) > BYTES_MAX:
        raise Refusal("oversized")
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise Refusal("malformed")
    header, claims, _ = _object(parts[0]), _object(parts[1]), _bytes(parts[2])
    return Token(text, *_judged(header), claims)


def _judged(header: Mapping[str, Any]) -> tuple[str, str]:
    """The algorithm and the key's id, of a header that demands nothing else."""
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm.lower() == "none":
        raise Refusal("algorithm")
    if "crit" in header or "b64" in header or "zip" in header or any(name in header for name in FOREIGN_KEYS):
        raise Refusal("header")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise Refusal("header")
    if key_id is None:
        raise Refusal("no_key_id")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_MAX or not key_id.isprintable():
        raise Refusal("unknown_key")
    return algorithm, key_id


def _bytes(part: str) -> bytes:
    """Base64url without padding, in its one canonical spelling."""
    try:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Refusal("malformed") from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise Refusal("malformed")
    return decoded


def _object(part: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_bytes(part).decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refusal("malformed") from None
    if not isinstance(found, dict):
        raise Refusal("malformed")
    return cast("dict[str, Any]", found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refusal("malformed")
    return found


def _no_number(_: str) -> NoReturn:
    raise Refusal("malformed")


# Claims: read only once the signature is known to be good.


def issuer_of(token: Token) -> str:
    """Who the token says issued it, to choose by whose keys it must be signed."""
    issuer = token.claims.get("iss")
    if not isinstance(issuer, str):
        raise Refusal("claims")
    return issuer


def judge(token: Token, expected: Expected, now: float) -> Principal:
    """The principal of a token whose signature is good; Refusal where a claim is not."""
    claims = token.claims
    if claims.get("iss") != expected.issuer:
        raise Refusal("issuer")
    if not expected.audiences & frozenset(_texts(claims.get("aud"))):
        raise Refusal("audience")
    issued_at, expires_at = _lifetime(claims, expected, now)
    subject = _text(claims.get("sub"))
    return Principal(
        subject,
        scopes=_scopes(claims, expected.scope_claims),
        tenant=_text(claims.get(expected.tenant)) if expected.tenant else "",
        issuer=expected.issuer,
        roles=frozenset(_texts(_at(claims, expected.roles), optional=True)),
        id=_text(claims["jti"]) if "jti" in claims else "",
        issued_at=issued_at,
        expires_at=expires_at,
        claims=claims,
    )


def _lifetime(claims: Mapping[str, Any], expected: Expected, now: float) -> tuple[float, float]:
    """From when to when it is valid. Without `iat` it may be of any age, so that every revocation by age means it."""
    leeway_s, expires_at = expected.leeway_s, _time(claims.get("exp"))
    issued_at = _time(claims["iat"]) if "iat" in claims else 0.0
    begins_at = max(issued_at, _time(claims["nbf"]) if "nbf" in claims else 0.0)
    if expires_at + leeway_s <= now:
        raise Refusal("expired")
    if begins_at - leeway_s > now:
        raise Refusal("not_yet")
    if expires_at - (issued_at or now) > expected.lifetime_max_s:
        raise Refusal("lifetime")
    return issued_at, expires_at


def _time(value: Any) -> float:
    """A NumericDate; a boolean is none, though Python counts with it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TIME_MAX_S:
        raise Refusal("claims")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise Refusal("claims")
    return value


def _texts(value: Any, *, optional: bool = False) -> Collection[str]:
    """One text or a list of them."""
    if value is None and optional:
        return ()
    if isinstance(value, list):
        return [_text(each) for each in cast("list[Any]", value)]
    return [_text(value)]


def _scopes(claims: Mapping[str, Any], names: tuple[str, ...]) -> frozenset[str]:
    """Scopes as one text divided by blanks (RFC 8693), or as a list."""
    value = next((claims[name] for name in names if name in claims), None)
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(_texts(value, optional=True))


def _at(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path of names; None where it leads nowhere."""
    value: Any = claims
    for name in path:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value
