"""Who a request comes from, and what a route demands of them.

A `Principal` is what is left of credentials once they have been verified: names, never a secret. A `Requirement` is a
route's demand; what it lacks, and so what a refusal must name, is decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec

Credential = Literal["token", "key"]


class Principal(msgspec.Struct, frozen=True, dict=True):
    """Who a request comes from.

    `subject` is unique within its `issuer` (`proa` for API keys); `tenant` is whom fairness counts it to (the subject
    itself unless it belongs to somebody). `id` names the credential, which is a token (its `jti`, if it has one) or an
    API key, and lasts from `issued_at` to `expires_at`, in seconds since 1970. `claims` are those of the token.
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    tenant: str = ""
    issuer: str = ""
    roles: frozenset[str] = frozenset()
    id: str = ""
    issued_at: float = 0.0
    expires_at: float = float("inf")
    credential: Credential = "token"
    claims: Mapping[str, Any] = {}

    @cached_property
    def owner(self) -> str:
        """A short digest of who it is, the same for every credential of theirs: what keys of theirs are kept under."""
        return hashlib.blake2b(f"{self.issuer}\0{self.subject}".encode(), digest_size=8).hexdigest()


class Requirement(msgspec.Struct, frozen=True):
    """What a route demands: all of `scopes`, and of each group in `roles` at least one. Nothing: anybody known."""

    scopes: frozenset[str] = frozenset()
    roles: tuple[frozenset[str], ...] = ()

    def __and__(self, other: Requirement) -> Requirement:
        """Both demands together."""
        return Requirement(self.scopes | other.scopes, (*self.roles, *other.roles))

    def __str__(self) -> str:
        demands = [f"scope {' '.join(sorted(self.scopes))}"] if self.scopes else []
        demands += [f"role {'|'.join(sorted(group))}" for group in self.roles]
        return " & ".join(demands) or "anybody known"

    def lacks(self, principal: Principal) -> str:
        """What the principal lacks, in words; empty where it may pass."""
        if not self.scopes <= principal.scopes:
            return f"scope {' '.join(sorted(self.scopes - principal.scopes))}"
        for group in self.roles:
            if not group & principal.roles:
                return f"role {' or '.join(sorted(group))}"
        return ""


ANYBODY_KNOWN = Requirement()
