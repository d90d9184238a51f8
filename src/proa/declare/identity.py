"""Who asks, and what a route demands of them, as authors name it.

The stage `authenticate` of `runtime.admission` puts the principal on the request (`arrival.request.principal = ...`) or
raises Unauthorized or Forbidden; a route that lets anybody in has no such stage.
"""

from __future__ import annotations

from typing import Literal

from proa.core.identity.principal import ANYBODY_KNOWN, Principal, Requirement
from proa.errors import DeclarationError

__all__ = ["ANYBODY_KNOWN", "Auth", "Principal", "Requirement", "roles", "scopes"]

Auth = Requirement | Literal["optional"] | None
"""Whom a route lets in: who meets the requirement, anybody but credentials that are sent must be good, or anybody."""


def scopes(*names: str) -> Requirement:
    """Demand every one of these scopes: `auth=scopes("orders:write")`."""
    return Requirement(frozenset(_named("scopes", names)))


def roles(*names: str) -> Requirement:
    """Demand at least one of these roles: `auth=roles("admin", "support")`; `&` joins demands."""
    return Requirement(roles=(frozenset(_named("roles", names)),))


def _named(what: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names or not all(map(_is_name, names)):
        raise DeclarationError(f"{what}(...) takes names without blanks, quotes and backslashes, got {names!r}")
    return names


def _is_name(name: str) -> bool:
    """Whether it can stand in a `WWW-Authenticate` header (RFC 6750)."""
    return bool(name) and name.isascii() and name.isprintable() and not set(' "\\') & set(name)
