"""What a region keeps of events: what they look like, and those of late, to be replayed to a subscription.

A unit that emits keeps the event in its own store: a regional one in the region's, which replicates it, a global one in
the global store. A replay reads both, a page at a time, in the order of emission. Its messages and how far it has come
are one commit; so a page that is asked for twice, because nobody knows how it ended, is sent once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from proa.core.event import EVENTS, REPLAYS, SCHEMAS, Logged, Shape, log_key, unreadable
from proa.core.home import Place
from proa.core.queue import SEPARATOR, milliseconds
from proa.core.replicate.journal import Row, Write
from proa.declare.events import Event, Subscription
from proa.declare.keys import NEXT
from proa.errors import Contended, EventIncompatible, NotFound, Unprocessable, of_code
from proa.ports import Batch, Committed, Fenced, GlobalStore, Result, Span
from proa.runtime.errands import Ends
from proa.runtime.events import EventsReplayed

SWEEP_S = 60.0
SWEEP = 500
LATEST = 10**13 - 1
REPLAY_KEPT_S = 24 * 3600.0
"""For so long a page of a replay may be asked for again."""
PAGE_MAX = 1000
_decode = msgspec.msgpack.Decoder(Logged).decode
_decode_shape = msgspec.msgpack.Decoder(Shape).decode
_decode_replay = msgspec.msgpack.Decoder(tuple[str, int, int]).decode
_encode = msgspec.msgpack.Encoder().encode


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next page of a replay: which events since and until when (seconds since 1970), to which subscription.

    `replay` names the replay: whoever asks again with the same goes on with it. `dry_run` sends nothing, and goes on
    after the key that the last page gave as `next`.
    """

    event: str
    to: str
    since: float
    until: float
    replay: str
    dry_run: bool = False
    after: str = ""
    limit: int = 500


class Replayed(msgspec.Struct, frozen=True):
    """How many events a replay has looked at so far, and how many messages it has sent; `next` is empty at the end."""

    seen: int
    sent: int
    next: str


class EventLog:
    """The events of one region."""

    def __init__(
        self, events: Mapping[str, Event[Any]], regions: Sequence[str], ends: Ends, global_store: GlobalStore
    ) -> None:
        self._events = events
        self._regions = regions
        self._ends = ends
        self._global = global_store
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to drop what is kept for long enough."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._ends.clock.sleep(SWEEP_S)
            for event in self._events.values():
                if self._ends.may(Place(f"event {event.name}", among=event.residency)):
                    await self._sweep(event)

    async def _sweep(self, event: Event[Any]) -> None:
        """Drop the oldest events that nobody may replay any more; those in the global store go by themselves."""
        last_ms = milliseconds(self._ends.clock.now() - event.retention_s - SWEEP_S)
        span = Span(event.table, ("", log_key(event.name, 0)), ("", log_key(event.name, last_ms)), SWEEP)
        rows = await self._ends.store.query(span)
        if rows:
            await self._ends.store.commit(
                Batch(self._ends.unit_id(), {}, [Write(event.table, row.key, None) for row in rows])
            )

    # What events look like.

    async def verify(self) -> None:
        """Compare what is declared with what was declared when events were emitted that may still be around.

        Raises:
            EventIncompatible: such an event could not be read.
        """
        rows = await self._ends.store.read([(SCHEMAS, name) for name in self._events])
        changed = [event for event, row in zip(self._events.values(), rows, strict=True) if self._is_new(event, row)]
        writes = [Write(SCHEMAS, event.name, _encode(Shape(event.version, event.schema))) for event in changed]
        if writes:
            await self._ends.store.commit(Batch(self._ends.unit_id(), {}, writes))

    def _is_new(self, event: Event[Any], row: Row | None) -> bool:
        if row is None or row.value is None:
            return True
        known = _decode_shape(row.value)
        if event.version < known.version or (event.version, event.schema) == (known.version, known.schema):
            return False  # a region that was set back to older code must start
        upgraded = event.upgrade is not None and event.version > known.version
        if not upgraded and (wrong := unreadable(known.schema, event.schema)):
            raise EventIncompatible(f"event {event.name}, version {event.version}: {'; '.join(wrong)}")
        return True

    # Replays.

    async def begun(self, wanted: Wanted) -> bool:
        """Whether a page of a replay was sent already; raises as `replay` does where none can be."""
        self._named(wanted)
        (row,) = await self._ends.store.read([(REPLAYS, wanted.replay)])
        return row is not None

    async def replay(self, wanted: Wanted) -> Replayed:
        """Send the next page of a replay.

        Raises:
            NotFound: there is no such event, or subscription.
            Unprocessable: the events are not kept, or the page is too large.
            GlobalStoreUnreachable: events of global units cannot be read now.
        """
        event, subscription = self._named(wanted)
        known = (await self._ends.store.read([(REPLAYS, wanted.replay)]))[0]
        after, seen, sent = _decode_replay(known.value) if known and known.value else (wanted.after, 0, 0)
        if after == SEPARATOR:
            return Replayed(seen, sent, "")
        rows = await self._page(event, after or log_key(event.name, milliseconds(wanted.since)), wanted)
        messages = [write for row in rows for write in self._messages(event, subscription, row, wanted)]
        following = rows[-1].key + NEXT if len(rows) == wanted.limit else ""
        done = Replayed(seen + len(rows), sent + len(messages), following)
        if not wanted.dry_run:
            await self._send(wanted, known.version if known else 0, messages, done)
        return done

    def _named(self, wanted: Wanted) -> tuple[Event[Any], Subscription[Any]]:
        event = self._events.get(wanted.event)
        if event is None:
            raise NotFound(f"there is no event {wanted.event!r}; there are {sorted(self._events)}")
        subscription = event.subscriptions.get(wanted.to.removeprefix(f"{event.name}."))
        if subscription is None:
            raise NotFound(
                f"event {event.name} has no subscription {wanted.to!r}; it has {sorted(event.subscriptions)}"
            )
        if not event.retention_s or not 1 <= wanted.limit <= PAGE_MAX or not wanted.replay:
            raise Unprocessable(f"event {event.name} is not kept, or the page is not of 1 to {PAGE_MAX} events")
        return event, subscription

    async def _page(self, event: Event[Any], start: str, wanted: Wanted) -> list[Row]:
        """The next events of both stores."""
        end = log_key(event.name, min(LATEST, milliseconds(wanted.until)))
        spans = [
            Span(table, ("", start), ("", end), wanted.limit, now=self._ends.clock.now())
            for table in (event.table, EVENTS)
        ]
        found = [*await self._ends.store.query(spans[0]), *await self._global.query(spans[1])]
        return sorted(found, key=lambda row: row.key)[: wanted.limit]

    def _messages(
        self, event: Event[Any], subscription: Subscription[Any], row: Row, wanted: Wanted
    ) -> Iterable[Write]:
        """The messages that an event makes, if it is wanted. Their ids are new: the event's may be finished."""
        assert row.value is not None
        logged, now = _decode(row.value), self._ends.clock.now()
        if not subscription.wants(event.decode(logged.body)):
            return
        for home in subscription.homes(logged.region, self._regions):
            key, envelope = subscription.message(logged, home, now, f"{logged.id}{wanted.replay}")
            yield Write(subscription.table, key, _encode(envelope))

    async def _send(self, wanted: Wanted, version: int, messages: Sequence[Write], done: Replayed) -> None:
        state = _encode((done.next or SEPARATOR, done.seen, done.sent))
        expires_at = self._ends.clock.now() + REPLAY_KEPT_S
        note = Write(REPLAYS, wanted.replay, state, expires_at=expires_at)
        batch = Batch(self._ends.unit_id(), {(REPLAYS, wanted.replay): version}, [*messages, note])
        _check(await self._ends.store.commit(batch))
        self._ends.telemetry.emit(EventsReplayed(wanted.event, wanted.to, wanted.replay, len(messages)))


def _check(result: Result) -> None:
    match result:
        case Committed():
            return
        case Fenced(code, detail):
            raise of_code(code, detail)
        case _:
            raise Contended("another one goes on with this replay; ask again")
