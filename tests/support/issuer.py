"""An identity provider without a network: it makes tokens, right ones and wrong ones in every way."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from functools import cache

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

ISSUER = "https://idp.example"
JWKS = "https://idp.example/jwks"
AUDIENCE = "shop"


def b64(data):
    return urlsafe_b64encode(data).decode().rstrip("=")


def part(value):
    """One part of a token: anything JSON can say, or the JSON itself."""
    return b64(value.encode() if isinstance(value, str) else json.dumps(value).encode())


@cache
def key_of(name, algorithm):
    """One key a name and algorithm; making RSA keys takes long."""
    if algorithm.startswith(("RS", "PS")):
        return RSAKey.generate_key(2048)
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384"}[algorithm])


class Issuer:
    """Signs with one key by the id `name`; others of its keys may be published beside it."""

    def __init__(self, now, name="k1", algorithm="ES256", issuer=ISSUER, lifetime_s=300):
        self.now = now
        self.lifetime_s = lifetime_s
        self.name = name
        self.algorithm = algorithm
        self.issuer = issuer

    @property
    def key(self):
        return key_of(self.name, self.algorithm)

    def public(self):
        return self.key.as_dict(private=False) | {"kid": self.name, "use": "sig", "alg": self.algorithm}

    def jwks(self, *others):
        return json.dumps({"keys": [self.public(), *(other.public() for other in others)]}).encode()

    def claims(self, **changes):
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada",
            "scope": "orders:read orders:write",
            "roles": ["admin"],
            "iat": int(self.now()),
            "exp": int(self.now()) + self.lifetime_s,
            "jti": "t-1",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def header(self, **changes):
        header = {"alg": self.algorithm, "kid": self.name, "typ": "JWT"}
        return {name: value for name, value in (header | changes).items() if value is not None}

    def token(self, header=None, **claims):
        """A token whose claims are changed like this (None: left out)."""
        return self.signed(self.header(**(header or {})), self.claims(**claims))

    def signed(self, header, claims):
        """Any header and claims, truly signed."""
        text = f"{part(header)}.{part(claims)}"
        return f"{text}.{b64(JWSRegistry.algorithms[self.algorithm].sign(text.encode(), self.key))}"
