"""Telling the audit log of what a person is about to do to one region's own state.

What a region keeps for itself (its queues, schedules, streams, sagas and effects) is no control row, so the deed and
its entry cannot be one transaction. The entry comes first: nothing is done that the log does not have.
"""

from __future__ import annotations

from collections.abc import Mapping

from proa.control.ledger import with_entry
from proa.control.parts import Parts
from proa.core.failover import Change
from proa.errors import Contended
from proa.ports import Batch, Committed

RACES_MAX = 10


class Noting:
    """Writes the entries of one region."""

    def __init__(self, me: str, parts: Parts) -> None:
        self._me = me
        self._parts = parts

    async def __call__(self, by: str, action: str, detail: Mapping[str, str]) -> None:
        """Note that `by` is about to do this.

        Raises:
            Unavailable: the global store does not answer.
            Contended: others were faster, again and again.
        """
        change = Change(action, detail={**detail, "region": self._me})
        for _ in range(RACES_MAX):
            situation = await self._parts.view.newest()
            batch = with_entry(situation, Batch(self._parts.entropy.token(), {}, []), by, change)
            if isinstance(await self._parts.store.commit(batch), Committed):
                return
        raise Contended(f"{action!r} was not noted: the control tables kept changing")
