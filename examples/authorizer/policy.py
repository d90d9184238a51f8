"""Who may do what: scopes grant actions on resources, and what nothing grants is denied.

The answer has the shape of an AWS Lambda authorizer's policy document, so that an API gateway can use it as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

Effect = Literal["Allow", "Deny"]


class Grant(msgspec.Struct, frozen=True):
    """Actions on the resources that match a pattern (`orders/*`)."""

    actions: frozenset[str]
    resource: str

    def covers(self, action: str, resource: str) -> bool:
        """Whether this grant allows `action` on `resource`."""
        return action in self.actions and fnmatchcase(resource, self.resource)


GRANTS: Mapping[str, Sequence[Grant]] = {
    "orders:read": (Grant(frozenset({"GET"}), "orders/*"),),
    "orders:write": (Grant(frozenset({"GET", "POST", "PUT"}), "orders/*"),),
    "reports:read": (Grant(frozenset({"GET"}), "reports/*"),),
}
"""What each scope allows. An application keeps its own here."""


def allows(scopes: Collection[str], action: str, resource: str) -> bool:
    """Whether any of `scopes` grants `action` on `resource`."""
    return any(grant.covers(action, resource) for scope in scopes for grant in GRANTS.get(scope, ()))


class Statement(msgspec.Struct, frozen=True, rename="pascal"):
    """One line of a policy document."""

    effect: Effect
    action: str
    resource: str


class PolicyDocument(msgspec.Struct, frozen=True, rename="pascal"):
    """Its statements, in the policy language of 2012."""

    statement: tuple[Statement, ...]
    version: str = "2012-10-17"


class Decision(msgspec.Struct, frozen=True, rename="camel"):
    """What the gateway gets: the principal, the policy and why."""

    principal_id: str
    policy_document: PolicyDocument
    context: dict[str, str]


def decision(effect: Effect, principal: str, action: str, resource: str, reason: str) -> Decision:
    """A decision on one action and one resource."""
    return Decision(principal, PolicyDocument((Statement(effect, action, resource),)), {"reason": reason})
