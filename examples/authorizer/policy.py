"""Who may do what: scopes grant actions on resources, and what nothing grants is denied.

Answers have the shape of an AWS Lambda authorizer's policy document, so that an API gateway can use them as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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


def granted(scopes: Iterable[str]) -> list[Grant]:
    """Everything that scopes grant."""
    return [grant for scope in scopes for grant in GRANTS.get(scope, ())]


def allows(scopes: Collection[str], action: str, resource: str) -> bool:
    """Whether any of `scopes` grants `action` on `resource`."""
    return any(grant.covers(action, resource) for grant in granted(scopes))


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
    """The answer to one question: the principal, the policy and why."""

    principal_id: str
    policy_document: PolicyDocument
    context: dict[str, str]


class Policy(msgspec.Struct, frozen=True, rename="camel"):
    """All that a session may do, for the next `keep_s` seconds."""

    principal_id: str
    policy_document: PolicyDocument
    keep_s: float


def decision(effect: Effect, principal: str, action: str, resource: str, reason: str) -> Decision:
    """A decision on one action and one resource."""
    return Decision(principal, PolicyDocument((Statement(effect, action, resource),)), {"reason": reason})


def policy_of(principal: str, scopes: Collection[str], keep_s: float) -> Policy:
    """What scopes allow, as one document; where that is nothing, everything is denied by name."""
    allowed = {(action, grant.resource) for grant in granted(scopes) for action in grant.actions}
    statements = tuple(Statement("Allow", *each) for each in sorted(allowed)) or (Statement("Deny", "*", "*"),)
    return Policy(principal, PolicyDocument(statements), keep_s)


def judged(document: PolicyDocument, action: str, resource: str) -> Effect:
    """What a document says of an action: a statement that denies wins, and what none allows is denied."""
    effects = {
        statement.effect
        for statement in document.statement
        if fnmatchcase(action, statement.action) and fnmatchcase(resource, statement.resource)
    }
    return "Allow" if effects == {"Allow"} else "Deny"
