"""First boot: the roles as the app declares them, written once. Later boots find them and change nothing."""

from __future__ import annotations

from proa.control.ledger import batch_of
from proa.core.audit import HEAD_KEY
from proa.core.failover import Change
from proa.core.roles import AUDIT, ROLES, ROLES_KEY, Assignment, Role
from proa.core.situation import Rules, Situation, fold
from proa.errors import DeclarationError, GlobalStoreUnreachable
from proa.ports import Batch, Entropy, GlobalStore


async def bootstrap(store: GlobalStore, rules: Rules, entropy: Entropy, by: str) -> Assignment:
    """The present roles, created from the declaration where there are none yet.

    Raises:
        GlobalStoreUnreachable: the store does not answer, or somebody else writes to it at this moment.
        DeclarationError: the state directory belongs to an app with other regions or another topology.
    """
    found = await _read(store, rules)
    if found.assignment is None:
        await store.commit(first_roles(found, by, entropy.token()))  # whoever comes second finds the first one's
        found = await _read(store, rules)
    assignment = found.assignment
    if assignment is None:
        raise GlobalStoreUnreachable("another node is creating the roles; try again")
    if set(assignment.roles) != set(rules.regions) or assignment.topology != rules.topology:
        recorded = f"{assignment.topology} in {', '.join(assignment.roles)}"
        raise DeclarationError(
            f"the global store holds the roles of another declaration ({recorded}), not {rules.topology} in "
            f"{', '.join(rules.regions)}; start with another state directory"
        )
    return assignment


async def _read(store: GlobalStore, rules: Rules) -> Situation:
    rows = await store.read([(ROLES, ROLES_KEY), (AUDIT, HEAD_KEY)])
    return fold(Situation(rules), [row for row in rows if row], 0, 0.0, 0.0)


def first_roles(s: Situation, by: str, batch_id: str) -> Batch:
    """The transaction that creates the roles, with its audit entry."""
    rules, passive = s.rules, s.rules.topology == "active-passive"
    roles: dict[str, Role] = {
        name: "standby" if passive and name != rules.preferred else "active" for name in rules.regions
    }
    weights = {name: 100 if role == "active" else 0 for name, role in roles.items()}
    assignment = Assignment(1, rules.topology, roles, weights=weights)
    detail = {"topology": rules.topology, "active": ", ".join(assignment.active())}
    return batch_of(s, Change("bootstrap", assignment=assignment, detail=detail), by, batch_id)
