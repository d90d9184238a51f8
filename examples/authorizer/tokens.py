"""Verifying tokens against the identity provider's published keys, also while the provider is out.

Keys are fetched when first needed and kept. A token signed by an unknown key makes the cache ask again, at most once
in `cooldown_s`, so that forged key ids cannot flood the provider. When the provider does not answer, the keys at hand
serve on for `stale_s`: an outage there must not become an outage here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from proa.errors import Unauthorized, Unavailable

Key = RSAKey | ECKey
Fetch = Callable[[], Awaitable[dict[str, Any]]]
ALGORITHMS = ("RS256", "ES256")
"""What a token may be signed with: asymmetric only, so a public key can never pass for a shared secret."""
LEEWAY_S = 30
"""How far the provider's clock may differ from ours."""


class KeysUnavailable(Unavailable):
    """No key to verify tokens with.

    Cause: the identity provider does not answer, and this region holds no keys young enough.
    Fix: restore the provider or the way to it; nothing was recorded, so the request may be repeated.
    """

    code = "AUTHORIZER-KEYS"
    title = "Identity keys unavailable"
    not_started = True


class KeyCache:
    """The provider's keys by id. `fetch` reads the JWKS; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        fetch: Fetch,
        clock: Callable[[], float],
        *,
        fresh_s: float = 300,
        stale_s: float = 86_400,
        cooldown_s: float = 5,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._cooldown_s = cooldown_s
        self._keys: dict[str, Key] = {}
        self._fetched_at = -stale_s
        self._tried_at = -cooldown_s
        self._lock = asyncio.Lock()
        self.refusing = False
        """Whether the last token that came could not be verified for want of keys."""

    async def get(self, kid: str) -> Key | None:
        """The key `kid`; None where the provider publishes none such. KeysUnavailable when nobody can tell."""
        if kid not in self._keys or self._age_s() > self._fresh_s:
            await self._refresh()
        self.refusing = not self.usable()
        if self.refusing:
            raise KeysUnavailable("the identity provider does not answer and no usable keys are cached")
        return self._keys.get(kid)

    def usable(self) -> bool:
        """Whether tokens can be verified now, with the provider or without."""
        return bool(self._keys) and self._age_s() <= self._stale_s

    async def keep_fresh(self) -> None:
        """Refresh keys that have aged; called in the background, so that requests rarely wait for the provider."""
        if self.refusing or (self._keys and self._age_s() > self._fresh_s / 2):
            await self._refresh()
            self.refusing = self.refusing and not self.usable()

    def _age_s(self) -> float:
        return self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        """Fetch the keys, once for all who wait, and not again within the cool-down."""
        async with self._lock:
            if self._clock() - self._tried_at < self._cooldown_s:
                return
            self._tried_at = self._clock()
            try:
                document = await self._fetch()
                self._keys = _usable_keys(document)
            except (OSError, TimeoutError, ValueError, JoseError):
                return  # the old keys serve on
            self._fetched_at = self._clock()


def _usable_keys(document: dict[str, Any]) -> dict[str, Key]:
    """The asymmetric signing keys of a JWKS that have an id."""
    keys = KeySet.import_key_set(document).keys  # type: ignore[arg-type]
    return {key.kid: key for key in keys if key.kid and isinstance(key, RSAKey | ECKey)}


class Identity(msgspec.Struct, frozen=True):
    """Whom a verified token speaks for."""

    subject: str
    scopes: frozenset[str]
    expires_at: float


class Verifier:
    """Tokens in, identities out; anything wrong with a token is one and the same `Unauthorized`."""

    def __init__(self, keys: KeyCache, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def verify(self, token: str, now: float) -> Identity:
        """The identity in `token`, its signature, issuer, audience and expiry checked."""
        try:
            header = jws.extract_compact(token.encode()).headers()
            key = await self._keys.get(str(header.get("kid")))
            if key is None or header.get("alg") not in ALGORITHMS:
                raise Unauthorized("the token is signed by no key of this issuer")
            claims = jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims
            self._registry(now).validate(claims)
        except (JoseError, ValueError) as error:
            raise Unauthorized(f"the token is not valid: {error}") from None
        return Identity(str(claims["sub"]), frozenset(str(claims.get("scope", "")).split()), float(claims["exp"]))

    def _registry(self, now: float) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            sub={"essential": True},
            exp={"essential": True},
        )
