"""API keys: `proa_ID_SECRET`, of which only the id and a digest of the secret are kept.

The id finds the row, so that no search over digests is needed; the digest is compared in constant time. A secret has
256 random bits, so a fast digest is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
from hmac import compare_digest

import msgspec

from proa.core.identity.principal import Principal
from proa.core.identity.refusal import Refusal

PREFIX = "proa_"
ISSUER = "proa"
ID_BYTES = 8
SECRET_BYTES = 32
_FORM = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")
NO_DIGEST = bytes(32)
"""Compared with where there is no such key, so that its absence takes as long as a wrong secret."""


class KeyRow(msgspec.Struct, frozen=True):
    """One API key as it is kept. `subject` is who holds it; `replaces` is the id of the key that it follows."""

    id: str
    digest: bytes
    subject: str
    scopes: list[str]
    roles: list[str]
    tenant: str
    created_at: float
    expires_at: float | None
    replaces: str = ""


def digest_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def shown(key_id: str, secret: str) -> str:
    """A key as its holder gets it, once."""
    return f"{PREFIX}{key_id}_{secret}"


def parse(text: str) -> tuple[str, str]:
    """Id and secret; Refusal where the text is no API key."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise Refusal("api_key")
    return found[1], found[2]


def judge(secret: str, row: KeyRow | None, now: float) -> Principal:
    """The principal of a key whose row (if there is one) was read; Refusal where it is not good."""
    fits = compare_digest(digest_of(secret), row.digest if row else NO_DIGEST)
    if row is None or not fits or (row.expires_at is not None and row.expires_at <= now):
        raise Refusal("api_key")
    return Principal(
        row.subject,
        scopes=frozenset(row.scopes),
        tenant=row.tenant,
        issuer=ISSUER,
        roles=frozenset(row.roles),
        id=row.id,
        issued_at=row.created_at,
        expires_at=float("inf") if row.expires_at is None else row.expires_at,
        credential="key",
    )
