"""A confirmed end: somebody who knows says that a process acts no more, and then nobody waits for its lease."""

from __future__ import annotations

import msgspec

from proa.control.ledger import strong
from proa.core.replicate.journal import Key
from proa.core.roles import NODES, Node
from proa.ports import Batch, Committed, Entropy, GlobalStore

RACES_MAX = 10


async def confirm_end(store: GlobalStore, name: str, boot: str, entropy: Entropy) -> bool:
    """Record that boot `boot` of node `name` has ended; False where the row tells of another boot, or of none.

    It is for one boot only: a process that was started since keeps its lease.
    """
    key: Key = (NODES, name)
    for _ in range(RACES_MAX):
        [row] = await store.read([key])
        node = msgspec.msgpack.decode(row.value, type=Node) if row and row.value else None
        if row is None or node is None or node.boot != boot:
            return False
        ended = msgspec.structs.replace(node, ended=True, ready=False)
        if isinstance(await store.commit(Batch(entropy.token(), {key: row.version}, [strong(*key, ended)])), Committed):
            return True
    return False
