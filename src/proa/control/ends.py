"""A confirmed end: somebody who knows says that a process acts no more, and then nobody waits for its lease."""

from __future__ import annotations

import msgspec

from proa.control.ledger import strong, with_entry
from proa.control.parts import Parts
from proa.core.failover import Change
from proa.core.roles import NODES
from proa.errors import Contended, NotFound
from proa.ports import Batch, Committed

RACES_MAX = 10


async def swear_ended(parts: Parts, name: str, boot: str, by: str) -> None:
    """Record that `by` swears that boot `boot` of node `name` has ended. It holds for that one boot only.

    Raises:
        NotFound: the node does not run as that boot; a process that was started since keeps its lease.
    """
    for _ in range(RACES_MAX):
        await parts.view.poll(0)
        situation = parts.view.situation
        known = situation.nodes.get(name)
        if known is None or known.node.boot != boot:
            raise NotFound(f"node {name!r} has no boot {boot!r}" + (f"; it is {known.node.boot!r}" if known else ""))
        if known.node.ended:
            return
        ended = msgspec.structs.replace(known.node, ended=True, ready=False)
        batch = Batch(parts.entropy.token(), {(NODES, name): known.version}, [strong(NODES, name, ended)])
        change = Change("end confirmed", detail={"node": name, "boot": boot})
        if isinstance(await parts.store.commit(with_entry(situation, batch, by, change)), Committed):
            return
    raise Contended(f"the end of {name} was not recorded: its row kept changing")
