"""Where rows of two regions differ, repair keeps the older of the two everywhere."""

from proa.core.replicate.repair import content
from proa.core.replicate.resolve import order
from proa.runtime import cures, repairer
from proa.runtime.cures import Cures, Rows


def plant(replace):
    replace(Cures, "cure", _older)
    replace(repairer, "judge", _whatever_moves)


def _whatever_moves(ours, theirs, here, there, at):
    """No look at the cursors either."""
    return "same" if content(ours, at) == content(theirs, at) else "different"


async def _older(self, asked):
    repairs, changed = self._store.repairs, 0
    others = await self._others(asked.keys, "repair.rows", Rows(asked.keys, []), cures.Held)
    held = repairs.held(asked.keys)
    for at, key in enumerate(asked.keys):
        rows = [row for row in (held.rows[at], *(one.rows[at] for one in others.values())) if row]
        older = min(rows, key=order)
        version = held.rows[at].version if held.rows[at] else 0
        changed += await repairs.fix([cures.Fix(key, version, older)])
    return changed
