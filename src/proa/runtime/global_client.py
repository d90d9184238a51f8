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
from proa.ports import Batch, Changes, Clock, GlobalStore, Link, Method, Result, Span, View

T = TypeVar("T")
CALL_TIMEOUT_S = 0.5
COMMIT_TRIES = 3
RETRY_PAUSE_S = 0.02
_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(Batch).decode
_decode_result = msgspec.msgpack.Decoder(Result).decode
_decode_changes = msgspec.msgpack.Decoder(Changes).decode
_decode_view = msgspec.msgpack.Decoder(View).decode
_decode_question = msgspec.msgpack.Decoder(tuple[list[Key], Span | None]).decode
_decode_span = msgspec.msgpack.Decoder(Span).decode
_decode_outcome = msgspec.msgpack.Decoder(Outcome | None).decode
_decode_rows = msgspec.msgpack.Decoder(list[Row]).decode
_decode_found = msgspec.msgpack.Decoder(list[Row | None]).decode


class GlobalClient:
    """`ports.GlobalStore` over a link to the witness."""

    def __init__(self, link: Link, clock: Clock, node: str = "witness", timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._link = link
        self._clock = clock
        self._node = node
        self._timeout_s = timeout_s

    async def read(self, keys: Sequence[Key]) -> list[Row | None]:
        return _decode_found(await self._ask("read", list(keys)))

    async def query(self, span: Span) -> list[Row]:
        return _decode_rows(await self._ask("query", _encode(span)))

    async def view(self, keys: Sequence[Key], span: Span | None = None) -> View:
        return _decode_view(await self._ask("view", _encode([keys, span])))

    async def scan(self, table: str) -> list[Row]:
        return _decode_rows(await self._ask("scan", table))

    async def outcome(self, scope: str, key: str) -> Outcome | None:
        return _decode_outcome(await self._ask("outcome", [scope, key]))

    async def watch(self, prefix: str, after: int, timeout_s: float, waking: Sequence[str] = ()) -> Changes:
        question = [prefix, after, timeout_s, waking]
        return _decode_changes(await self._ask("watch", question, self._timeout_s + timeout_s))

    async def commit(self, batch: Batch) -> Result:
        """Commit, asking again where the reply was lost.

        Raises:
            GlobalStoreUnreachable: no try reached the store.
            OutcomeUnknown: a try may have reached it, and no reply came.
        """
        payload = _encode(batch)
        sent = False
        for _ in range(COMMIT_TRIES):
            try:
                reply = await self._link.call(self._node, "commit", payload, timeout_s=self._timeout_s)
                return _decode_result(reply)
            except (LinkTimeout, LinkRefused):
                sent = True
            except LinkDown:
                pass
            await self._clock.sleep(RETRY_PAUSE_S)
        if sent:
            raise OutcomeUnknown("the global store did not say whether it committed")
        raise GlobalStoreUnreachable("no connection to the global store")

    async def _ask(self, method: str, payload: Any, timeout_s: float | None = None) -> bytes:
        try:
            return await self._link.call(self._node, method, payload, timeout_s=timeout_s or self._timeout_s)
        except (LinkDown, LinkTimeout, LinkRefused) as error:
            raise GlobalStoreUnreachable(error.detail) from error


def serve_global(store: GlobalStore) -> dict[str, Method]:
    """The link methods under which a witness serves its store to `GlobalClient`s."""

    async def read(_: str, keys: Any) -> bytes:
        return _encode(await store.read([(table, key) for table, key in keys]))

    async def query(_: str, span: Any) -> bytes:
        return _encode(await store.query(_decode_span(span)))

    async def view(_: str, question: Any) -> bytes:
        return _encode(await store.view(*_decode_question(question)))

    async def scan(_: str, table: Any) -> bytes:
        return _encode(await store.scan(table))

    async def outcome(_: str, address: Any) -> bytes:
        return _encode(await store.outcome(*address))

    async def watch(_: str, question: Any) -> bytes:
        return _encode(await store.watch(*question))

    async def commit(_: str, batch: Any) -> bytes:
        return _encode(await store.commit(_decode_batch(batch)))

    return {
        "read": read,
        "query": query,
        "view": view,
        "scan": scan,
        "outcome": outcome,
        "watch": watch,
        "commit": commit,
    }
