"""A region's first words at boot: which life of its disk is this? The global store's answer is final.

Each boot takes a new nonce by compare-and-set, so of two processes that boot from copies of one disk only one goes on
as the old life; the other finds a foreign nonce at its next boot and begins a new one. The caller writes number and
nonce durably to the disk before it serves.
"""

from __future__ import annotations

from typing import Final

import msgspec

from proa.control.ledger import strong
from proa.core.incarnation import Disk, number_for
from proa.core.replicate.journal import Key, Row
from proa.core.roles import INCARNATIONS, NODES, Incarnation, Node
from proa.errors import GlobalStoreUnreachable
from proa.ports import Batch, Committed, Entropy, GlobalStore

TRIES: Final = 20


async def register(
    store: GlobalStore, region: str, disk: Disk | None, entropy: Entropy, *, fresh: bool = False
) -> tuple[int, str]:
    """The incarnation number under which `region` may serve, and its new nonce.

    `disk` is what was found on the disk, None for nothing. `fresh` asks for a new number whatever was found: a region
    that was cut off sets its late commits aside and begins a new life.

    Raises:
        GlobalStoreUnreachable: the store cannot be asked, so the region must not serve yet.
        OutcomeUnknown: the same; the next boot begins a new life if the nonce was taken.
    """
    for _ in range(TRIES):
        key: Key = (INCARNATIONS, region)
        issued_row, node_row = await store.read([key, (NODES, region)])
        issued = _decode(issued_row)
        number = number_for(issued, None if fresh else disk, _reported(node_row, region, issued))
        given = Incarnation(max(number, disk.number + 1 if fresh and disk else 0), entropy.token())
        batch = Batch(entropy.token(), {key: issued_row.version if issued_row else 0}, [strong(*key, given)])
        if isinstance(await store.commit(batch), Committed):
            return given.number, given.nonce
    raise GlobalStoreUnreachable(f"{region} lost every race for its incarnation")


def _decode(row: Row | None) -> Incarnation | None:
    return msgspec.msgpack.decode(row.value, type=Incarnation) if row and row.value else None


def _reported(row: Row | None, region: str, issued: Incarnation | None) -> int:
    if row is None or row.value is None or issued is None:
        return 0
    node = msgspec.msgpack.decode(row.value, type=Node)
    return node.head if node.origin == f"{region}/{issued.number}" else 0
