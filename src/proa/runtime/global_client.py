"""The global store as a region sees it: over a link that may lose calls and replies.

A read that fails is simply unreachable. A commit whose reply was lost may have happened; its batch id makes asking
again safe, so it is asked again within the time allowed and only then reported as unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Key, Row
from proa.errors import GlobalStoreUnreachable, LinkDown, LinkRefused, LinkTimeout, OutcomeUnknown
from proa.ports import Batch, Changes, Clock, GlobalStore, Link, Method, Result, Span

T = TypeVar("T")
CALL_TIMEOUT_S = 0.5
COMMIT_TRIES = 3
RETRY_PAUSE_S = 0.02


class GlobalClient:
    """`ports.GlobalStore` over a link to the witness."""

    def __init__(self, link: Link, clock: Clock, node: str = "witness", timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._link = link
        self._clock = clock
        self._node = node
        self._timeout_s = timeout_s

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        return await self._ask("read", list(keys), list[Row | None])

    async def query(self, span: Span) -> list[Row]:
        return await self._ask("query", msgspec.msgpack.encode(span), list[Row])

    async def scan(self, table: str) -> list[Row]:
        return await self._ask("scan", table, list[Row])

    async def outcome(self, scope: str, key: str) -> Outcome | None:
        return await self._ask("outcome", [scope, key], Outcome | None)

    async def watch(self, prefix: str, after: int, timeout_s: float) -> Changes:
        return await self._ask("watch", [prefix, after, timeout_s], Changes, self._timeout_s + timeout_s)

    async def commit(self, batch: Batch) -> Result:
        """Commit, asking again where the reply was lost.

        Raises:
            GlobalStoreUnreachable: no try reached the store.
            OutcomeUnknown: a try may have reached it, and no reply came.
        """
        payload = msgspec.msgpack.encode(batch)
        sent = False
        for _ in range(COMMIT_TRIES):
            try:
                reply = await self._link.call(self._node, "commit", payload, timeout_s=self._timeout_s)
                return msgspec.msgpack.decode(reply, type=Result)
            except (LinkTimeout, LinkRefused):
                sent = True
            except LinkDown:
                pass
            await self._clock.sleep(RETRY_PAUSE_S)
        if sent:
            raise OutcomeUnknown("the global store did not say whether it committed")
        raise GlobalStoreUnreachable("no connection to the global store")

    async def _ask(self, method: str, payload: Any, kind: Any, timeout_s: float | None = None) -> Any:
        try:
            reply = await self._link.call(self._node, method, payload, timeout_s=timeout_s or self._timeout_s)
        except (LinkDown, LinkTimeout, LinkRefused) as error:
            raise GlobalStoreUnreachable(error.detail) from error
        return msgspec.msgpack.decode(reply, type=kind)


def serve_global(store: GlobalStore) -> dict[str, Method]:
    """The link methods under which a witness serves its store to `GlobalClient`s."""

    async def read(_: str, keys: Any) -> bytes:
        return msgspec.msgpack.encode(await store.read([(table, key) for table, key in keys]))

    async def query(_: str, span: Any) -> bytes:
        return msgspec.msgpack.encode(await store.query(msgspec.msgpack.decode(span, type=Span)))

    async def scan(_: str, table: Any) -> bytes:
        return msgspec.msgpack.encode(await store.scan(table))

    async def outcome(_: str, address: Any) -> bytes:
        return msgspec.msgpack.encode(await store.outcome(*address))

    async def watch(_: str, question: Any) -> bytes:
        return msgspec.msgpack.encode(await store.watch(*question))

    async def commit(_: str, batch: Any) -> bytes:
        return msgspec.msgpack.encode(await store.commit(msgspec.msgpack.decode(batch, type=Batch)))

    return {"read": read, "query": query, "scan": scan, "outcome": outcome, "watch": watch, "commit": commit}
