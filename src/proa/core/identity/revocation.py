"""Revocations: what is no longer good although its signature is and its time has not run out.

A revocation names one credential by its id, all of a subject's, or all of an issuer's, the latter two up to a moment.
Each is a row that replicates to every region. Two regions that revoke at once agree on the later moment, so nothing
revoked anywhere comes back; the row ends when the last credential that it could mean has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from proa.core.identity.principal import Principal

Kind = Literal["credential", "subject", "issuer"]


class Revocation(msgspec.Struct, frozen=True):
    """Whatever `target` means and was issued up to `before` is refused. Times are in seconds since 1970.

    The row goes at `expires_at`; never (None) where what it means may be of any age.
    """

    target: str
    before: float
    at: float
    by: str
    reason: str
    expires_at: float | None


def target(kind: Kind, issuer: str, name: str = "") -> str:
    """The key of a revocation's row: a digest, since names of other systems may be long and are nobody's business."""
    digest = hashlib.blake2b(f"{kind}\0{issuer}\0{name}".encode(), digest_size=16).hexdigest()
    return f"{kind}:{digest}"


def targets(principal: Principal) -> tuple[str, ...]:
    """The rows that could mean this principal."""
    wide = target("subject", principal.issuer, principal.subject), target("issuer", principal.issuer)
    return (target("credential", principal.issuer, principal.id), *wide) if principal.id else wide


def revoked(principal: Principal, found: Iterable[Revocation]) -> bool:
    """Whether any of these rows means it. What came in the very moment of a revocation is meant, too."""
    return any(principal.issued_at <= revocation.before for revocation in found)
