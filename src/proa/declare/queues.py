"""Queues: typed messages that are handled later, each in a unit of its own, and taken up again when that fails.

Sending is part of the sender's unit: the message is there when the unit commits, and not before. Consuming is a unit,
too: what the handler writes and sends, and that the message is dealt with, are one commit. So a message is handed out
at least once and takes effect once; what a handler does outside of Proa it may do again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict, TypeVar, Unpack, get_type_hints

import msgspec

from proa.core.home import Place
from proa.core.policy.retry import Retry
from proa.core.queue import (
    DEAD,
    MESSAGES,
    PRIORITIES,
    SEPARATOR,
    Attempt,
    Dead,
    Envelope,
    Spot,
    key_at,
)
from proa.declare.bodies import Bodies
from proa.declare.context import Context, current_unit
from proa.declare.handlers import DeclaredUnit, Route
from proa.errors import DeclarationError, Unprocessable
from proa.ports import Schema

if TYPE_CHECKING:
    from proa.declare.context import UnitOfWork

T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])
GROUP_LENGTH_MAX = 128
DELAY_S_MAX = 366 * 24 * 3600.0
PRIORITY = 5
VISIBILITY_S = 30.0
CONCURRENCY = 10
RETRY = Retry(attempts=5, base_s=1.0, cap_s=300.0)


BY_ERROR, BY_MESSAGE = "by_error", "by_message"
"""The indexes by which dead letters are found: by fingerprint, and by id."""
_decode_dead = msgspec.msgpack.Decoder(Dead).decode


def _dead_entries(key: str, data: bytes) -> Mapping[str, str]:
    try:
        dead = _decode_dead(data)
    except ValueError as error:
        raise ValueError(f"{key!r:.80}: {error}") from error
    return {BY_ERROR: dead.fingerprint, BY_MESSAGE: dead.envelope.id}


DEAD_SCHEMA = Schema("dead letters 1", (BY_ERROR, BY_MESSAGE), _dead_entries)
"""What a store must know of dead letters."""


class Hold(Protocol):
    """What a message's handler may ask of the run that it is part of."""

    def heartbeat(self, for_s: float | None) -> None: ...


class Message(Generic[T]):
    """A message as its consumer sees it, for handlers that ask for more than its body.

    `attempt` counts from 1; `history` are the attempts that failed. `sent_at` is in seconds since 1970, `region` the
    one whose message it is, `trace` the W3C `traceparent` of the unit that sent it.
    """

    __slots__ = ("_envelope", "_hold", "_where", "body", "failure")

    def __init__(self, where: Spot, envelope: Envelope, body: T, hold: Hold) -> None:
        self._where = where
        self._envelope = envelope
        self._hold = hold
        self.body = body
        self.failure: BaseException | None = None

    @property
    def id(self) -> str:
        """The message's id: the same in every attempt, and after it was redriven."""
        return self._envelope.id

    @property
    def queue(self) -> str:
        """The queue it stands in."""
        return self._where.queue

    @property
    def group(self) -> str:
        """The group whose messages are handled in order; empty where there is none."""
        return self._where.group

    @property
    def region(self) -> str:
        """The region whose message it is."""
        return self._where.home

    @property
    def attempt(self) -> int:
        """Which attempt this is."""
        return self._envelope.receives + (not self._envelope.running)

    @property
    def sent_at(self) -> float:
        """When it was sent."""
        return self._envelope.sent_at

    @property
    def trace(self) -> str:
        """The trace of the unit that sent it."""
        return self._envelope.traceparent

    @property
    def history(self) -> Sequence[Attempt]:
        """The attempts that failed, the latest last."""
        return self._envelope.history

    @property
    def about(self) -> Mapping[str, str]:
        """The attributes of an event: `type`, `source`, `time` and `id` as CloudEvents has them."""
        return self._envelope.about

    def heartbeat(self, for_s: float | None = None) -> None:
        """Ask for more time: the run may last for `for_s` seconds from now (the consumer's `visibility_s` if None)."""
        self._hold.heartbeat(for_s)

    def fail(self, error: BaseException | str) -> None:
        """In a batch: this message was not dealt with; the others are, and what was written stands."""
        self.failure = RuntimeError(error) if isinstance(error, str) else error


class QueueOptions(TypedDict, total=False):
    """How a queue works.

    `retry` says how often a message is tried and how long it waits in between. With `groups` each message names a
    group, and those of one group are handled one after the other in the order in which they were sent. `depth_max` is
    how many messages may wait in a region before senders are refused (429); `depth_alarm` and `age_alarm_s` are when
    an alarm is raised. `residency` names the regions that may hold the messages, if not all may.
    """

    retry: Retry
    groups: bool
    depth_max: int | None
    depth_alarm: int | None
    age_alarm_s: float | None
    residency: Sequence[str]


class ConsumerOptions(TypedDict, total=False):
    """How a queue is consumed.

    `concurrency` (10) is how many runs are under way at once in a region. With `batch` the handler takes a list of up
    to so many messages, which share one unit. A run that takes longer than `visibility_s` (30) without a heartbeat is
    ended, and its message handed out again. `unit` overrules the class that Proa infers from the handler's code.
    `rate_max` bounds how many messages are begun in a second. `brake` is asked before a run begins, and says for how
    many seconds to begin none (0: go on): the place for a breaker of what the handler needs.
    """

    concurrency: int
    batch: int
    visibility_s: float
    unit: DeclaredUnit | None
    rate_max: float | None
    brake: Callable[[], float] | None


class Consumer(msgspec.Struct):
    """A declared consumer: its handler, and how it is called."""

    route: Route
    concurrency: int
    batch: int
    visibility_s: float
    rate_max: float | None
    batched: bool
    whole: bool
    takes_context: bool
    brake: Callable[[], float] | None

    @property
    def handler(self) -> Callable[..., Any]:
        """The author's function."""
        return self.route.handler


class Queue(Bodies[T]):
    """A declared queue of messages of one type. `everywhere`: each region has messages of its own."""

    what = "queue"
    everywhere = False

    def __init__(self, name: str, kind: type[T], options: QueueOptions) -> None:
        super().__init__(name, kind, options.get("residency", ()))
        self.retry = options.get("retry", RETRY)
        self.groups = options.get("groups", False)
        self.depth_max = options.get("depth_max")
        self.depth_alarm = options.get("depth_alarm")
        self.age_alarm_s = options.get("age_alarm_s")
        for bound in ("depth_max", "depth_alarm", "age_alarm_s"):
            if (value := getattr(self, bound)) is not None and value <= 0:
                raise DeclarationError(f"queue {name}: {bound} must be positive, got {value}")
        self.table, self.dead_table = self.part_of(MESSAGES), self.part_of(DEAD)
        self.declared: Consumer | None = None

    def place(self, home: str) -> Place:
        """What decides which region handles the messages of one home."""
        return Place(self.name, home, self.residency)

    def consumer(self, **options: Unpack[ConsumerOptions]) -> Callable[[H], H]:
        """Declare the handler of this queue's messages. See `ConsumerOptions`.

        It takes the body, or a `Message` where it asks for more; a list of these where it takes a batch; and a
        `Context` if it has a parameter of this type. What it raises is a failed attempt.
        """

        def declare(handler: H) -> H:
            if self.declared is not None:
                raise DeclarationError(f"queue {self.name} has two consumers; declare an event to have several")
            self.declared = consumer(self.name, handler, options)
            return handler

        return declare

    async def send(self, body: T, *, delay_s: float = 0.0, priority: int = PRIORITY, group: str | None = None) -> str:
        """Send a message with the present unit; its id.

        It is handed out after `delay_s` at the earliest; lower priorities (0 to 9) first.

        Raises:
            MessageTooLarge: it is larger than stores keep.
            QueueFull: as many wait as the queue may hold; nothing of the unit is committed.
            Unprocessable: delay, priority or group make no sense here.
        """
        unit = current_unit()
        return self.post(unit, self.encoded(body), unit.region, delay_s=delay_s, priority=priority, group=group)

    def post(
        self,
        unit: UnitOfWork,
        body: bytes,
        home: str,
        *,
        delay_s: float = 0.0,
        priority: int = PRIORITY,
        group: str | None = None,
    ) -> str:
        """Let a unit send a body as stores keep it, to a region; its id."""
        if self.groups or group is not None or delay_s or priority != PRIORITY:  # what is not as usual
            self._check(delay_s, priority, group)
        id_, now = unit.message_id(), unit.now()
        key = key_at(self.name, home, priority, now + delay_s, id_, group or "")
        unit.send(self, home, key, Envelope.sent(id_, body, now, unit.unit, unit.trace))
        return id_

    def _check(self, delay_s: float, priority: int, group: str | None) -> None:
        if not 0 <= delay_s <= DELAY_S_MAX:
            raise Unprocessable(f"queue {self.name}: delay_s must be 0 to {DELAY_S_MAX:,.0f}, got {delay_s!r}")
        if not 0 <= priority < PRIORITIES:
            raise Unprocessable(f"queue {self.name}: priority must be 0 to {PRIORITIES - 1}, got {priority!r}")
        if self.groups and (delay_s or priority != PRIORITY):
            raise Unprocessable(f"queue {self.name}: messages of a group are in order; they take no delay or priority")
        if self.groups != (group is not None):
            raise Unprocessable(f"queue {self.name}: {'name a group' if self.groups else 'it has no groups'}")
        if group is not None and (not 0 < len(group) <= GROUP_LENGTH_MAX or SEPARATOR in group or "\0" in group):
            raise Unprocessable(f"queue {self.name}: a group is a text of 1 to {GROUP_LENGTH_MAX} characters")


def consumer(name: str, handler: Callable[..., Any], options: ConsumerOptions) -> Consumer:
    """Check how a handler is declared to consume, and make the consumer of it."""
    where, batch = f"consumer of {name}", options.get("batch", 1)
    concurrency, visibility_s = options.get("concurrency", CONCURRENCY), options.get("visibility_s", VISIBILITY_S)
    rate_max = options.get("rate_max")
    if min(concurrency, batch) < 1 or visibility_s <= 0 or (rate_max is not None and rate_max <= 0):
        raise DeclarationError(
            f"{where}: concurrency, batch, visibility_s and rate_max must be positive, "
            f"got {concurrency}, {batch}, {visibility_s:g} and {rate_max}"
        )
    hints = get_type_hints(handler)
    first, *rest = inspect.signature(handler).parameters or [""]
    others = [parameter for parameter in rest if hints.get(parameter) is not Context]
    if not inspect.iscoroutinefunction(handler) or not first or others or len(rest) > 1:
        raise DeclarationError(f"{where}: the handler is an `async def` of a message, and of a Context if it wants one")
    kind = str(hints.get(first, ""))
    if ("list" in kind.lower()) != ("batch" in options):
        raise DeclarationError(f"{where}: a handler that takes a list declares `batch`, and only such a one")
    route = unit_route("QUEUE", name, handler, visibility_s, options.get("unit"))
    route.method = "BATCH" if "batch" in options else route.method
    return Consumer(
        route=route,
        concurrency=concurrency,
        batch=batch,
        visibility_s=visibility_s,
        rate_max=rate_max,
        batched="batch" in options,
        whole="Message" in kind,
        takes_context=bool(rest),
        brake=options.get("brake"),
    )


def unit_route(
    method: str, name: str, handler: Callable[..., Any], timeout_s: float, unit: DeclaredUnit | None = None
) -> Route:
    """What a unit must know of a declaration that is no route of a client's."""
    return Route(
        method=method,
        path=name,
        scope=f"{method.lower()} {name}",
        handler=handler,
        getters={},
        idempotent=False,
        timeout_s=timeout_s,
        status=200,
        objectives=None,
        declared_unit=unit,
        declared_acknowledge=None,
        default_acknowledge="region",
        is_async=True,
    )
