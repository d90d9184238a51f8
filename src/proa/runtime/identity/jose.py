"""The cryptography: published keys in, "this key signed that" out. joserfc over the library `cryptography`.

Only public asymmetric keys with an id are taken. Which algorithms a key may verify follows from the key, never from a
token: a token cannot make an RSA key a shared secret, or choose another curve.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from proa.core.identity.token import Token

Key = RSAKey | ECKey | OKPKey
KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
BY_CURVE: Mapping[str, tuple[str, ...]] = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
}
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192
KEYS_MAX = 100
PRIVATE = "d"


class PublicKey(msgspec.Struct, frozen=True):
    """A published key, and what it may verify."""

    key: Key
    algorithms: tuple[str, ...]

    def signed(self, token: Token) -> bool:
        """Whether this key signed the token."""
        if token.algorithm not in self.algorithms:
            return False
        signed, _, signature = token.text.rpartition(".")
        try:
            return JWSRegistry.algorithms[token.algorithm].verify(signed.encode(), _octets(signature), self.key)
        except (JoseError, ValueError):
            return False


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def import_keys(document: bytes) -> dict[str, PublicKey]:
    """The usable keys of a JWKS by id; what is of no use here is passed over. ValueError where none is left."""
    found: dict[str, PublicKey] = {}
    for one in msgspec.json.decode(document, type=_KeySet).keys[:KEYS_MAX]:
        kid = one.get("kid")
        if isinstance(kid, str) and kid not in found and (key := _usable(one)):
            found[kid] = key
    if not found:
        raise ValueError("it publishes no key that can be used")
    return found


def _usable(one: dict[str, Any]) -> PublicKey | None:
    kind = KINDS.get(str(one.get("kty")))
    if (
        kind is None
        or one.get("use", "sig") != "sig"
        or PRIVATE in one
        or "verify" not in one.get("key_ops", ["verify"])
    ):
        return None
    try:
        if "n" in one and not RSA_BITS_MIN <= 8 * len(_octets(str(one["n"]))) <= RSA_BITS_MAX:
            return None
        key = kind.import_key({name: one[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in one})
        algorithms = _algorithms(key)
    except (JoseError, ValueError, TypeError):
        return None
    named = one.get("alg")
    algorithms = tuple(each for each in algorithms if named in (None, each))
    return PublicKey(key, algorithms) if algorithms else None


def _algorithms(key: Key) -> tuple[str, ...]:
    """What a key can verify, by its kind and curve."""
    return RSA_ALGORITHMS if isinstance(key, RSAKey) else BY_CURVE.get(key.curve_name, ())


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
