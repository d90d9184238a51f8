"""A region's end, confirmed: the row of exactly the boot whose process was seen to exit is marked as ended."""

from __future__ import annotations

import secrets

import msgspec

from proa.core.replicate.journal import Write
from proa.core.roles import NODES, Node
from proa.errors import GlobalStoreUnreachable
from proa.ports import Batch, Committed, GlobalStore

TRIES = 5


async def confirm_end(store: GlobalStore, name: str, boot: str) -> bool:
    """Mark `boot` of node `name` as ended; False where another boot has taken its place, which needs no word from us.

    Raises:
        GlobalStoreUnreachable: the store did not answer, or the row kept changing.
    """
    for _ in range(TRIES):
        row = (await store.read([(NODES, name)]))[0]
        if row is None or row.value is None:
            return False
        node = msgspec.msgpack.decode(row.value, type=Node)
        if node.boot != boot or node.ended:
            return node.boot == boot
        ended = msgspec.msgpack.encode(msgspec.structs.replace(node, ended=True))
        write = Write(NODES, name, ended, "strong")
        result = await store.commit(Batch(f"end-{secrets.token_hex(8)}", {(NODES, name): row.version}, [write]))
        if isinstance(result, Committed):
            return True
    raise GlobalStoreUnreachable(f"the row of {name} kept changing")
