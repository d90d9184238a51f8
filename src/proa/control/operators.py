"""Operators: the people (and machines) who may act, as named tokens of which only a salted hash is stored.

A token is 256 random bits, so one salted SHA-256 is enough: there is nothing to guess that a slow hash would protect.
It is shown once, when it is made. `viewer` may look, `operator` may request and abort, `approver` may approve as well.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, Literal, get_args

import msgspec

from proa.control.ledger import strong, with_entry
from proa.core.audit import HEAD_KEY
from proa.core.failover import Change
from proa.core.replicate.journal import Key
from proa.core.roles import AUDIT, OPERATORS, ROLES, ROLES_KEY
from proa.core.situation import Rules, Situation, fold
from proa.errors import AlreadyExists, Contended, NotFound, UsageError
from proa.ports import Batch, Committed, Entropy, GlobalStore

OperatorRole = Literal["viewer", "operator", "approver"]
ROLE_NAMES: Final = get_args(OperatorRole)
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
RACES_MAX: Final = 10
_NOBODY = Rules((), "", (), "active-active", "")


class Operator(msgspec.Struct, frozen=True):
    """One named token, as stored."""

    name: str
    role: OperatorRole
    salt: str
    hashed: str

    def may(self, role: OperatorRole) -> bool:
        """Whether this operator may do what `role` may."""
        return ROLE_NAMES.index(self.role) >= ROLE_NAMES.index(role)


async def add(store: GlobalStore, name: str, role: OperatorRole, entropy: Entropy, by: str) -> str:
    """Make an operator; the token, which nobody can show again.

    Raises:
        UsageError: the name or the role is not one.
        AlreadyExists: there is an operator of this name.
    """
    if not NAME.fullmatch(name) or role not in ROLE_NAMES:
        raise UsageError(f"an operator needs a short lower-case name and a role of {', '.join(ROLE_NAMES)}")
    token, salt = entropy.token(32), entropy.token(16)
    made = Operator(name, role, salt, _hash(salt, token))
    for _ in range(RACES_MAX):
        [row] = await store.read([(OPERATORS, name)])
        if row and row.value is not None:
            raise AlreadyExists(f"there is an operator {name!r} already")
        if await _put(store, name, row.version if row else 0, made, entropy, by):  # a removed one left a tombstone
            return f"{name}.{token}"
    raise Contended(f"operator {name!r} was not made: the audit log kept changing")


async def remove(store: GlobalStore, name: str, entropy: Entropy, by: str) -> None:
    """Take an operator's token away, at once and everywhere.

    Raises:
        NotFound: there is no such operator.
    """
    for _ in range(RACES_MAX):
        [row] = await store.read([(OPERATORS, name)])
        if row is None or row.value is None:
            raise NotFound(f"there is no operator {name!r}")
        if await _put(store, name, row.version, None, entropy, by):
            return
    raise Contended(f"operator {name!r} was not removed: the audit log kept changing")


async def every(store: GlobalStore) -> list[Operator]:
    """All operators, by name."""
    rows = await store.scan(OPERATORS)
    return sorted(
        (msgspec.msgpack.decode(row.value, type=Operator) for row in rows if row.value), key=lambda found: found.name
    )


async def verify(store: GlobalStore, token: str) -> Operator | None:
    """Whose token this is, or None."""
    name, _, secret = token.rpartition(".")
    found = await _get(store, name) if NAME.fullmatch(name) else None
    salt, hashed = (found.salt, found.hashed) if found else ("", "")
    matches = hmac.compare_digest(_hash(salt, secret), hashed)  # also for a stranger: no name is told by the time taken
    return found if matches else None


def _hash(salt: str, token: str) -> str:
    return hashlib.sha256(f"{salt}:{token}".encode()).hexdigest()


async def _get(store: GlobalStore, name: str) -> Operator | None:
    [row] = await store.read([(OPERATORS, name)])
    return msgspec.msgpack.decode(row.value, type=Operator) if row and row.value else None


async def _put(
    store: GlobalStore, name: str, version: int, operator: Operator | None, entropy: Entropy, by: str
) -> bool:
    rows = await store.read([(ROLES, ROLES_KEY), (AUDIT, HEAD_KEY)])
    situation = fold(Situation(_NOBODY), [row for row in rows if row], 0, 0.0, 0.0)
    key: Key = (OPERATORS, name)
    batch = Batch(entropy.token(), {key: version}, [strong(*key, operator)])
    detail = {"operator": name} | ({"role": operator.role} if operator else {})
    change = Change("operator added" if operator else "operator removed", detail=detail)
    return isinstance(await store.commit(with_entry(situation, batch, by, change)), Committed)
