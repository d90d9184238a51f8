"""Events: what happened, told to every subscription in a message of its own.

Emitting is part of the unit: an event is there for all of its subscriptions when the unit commits, and for none before.
Each subscription is a queue: it has its own retries, dead letters and concurrency, and one that fails or is slow delays
no other. What an event's body looks like may change as long as what was written before can still be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    get_args,
    get_type_hints,
    overload,
)

import msgspec

from proa.core.event import EVENTS, REPLAYS, SCHEMAS, Filter, Logged, filter_of, log_key, passes, unreadable
from proa.core.home import Place
from proa.core.policy.retry import Retry
from proa.core.queue import Envelope, key_at, milliseconds
from proa.core.replicate.journal import Write
from proa.core.roles import Topology
from proa.declare.bodies import Bodies
from proa.declare.codec import RowCodec, is_model, json_schema
from proa.declare.context import current_unit
from proa.declare.handlers import DeclaredUnit
from proa.declare.queues import PRIORITY, ConsumerOptions, Message, Queue, QueueOptions, consumer
from proa.errors import DeclarationError

if TYPE_CHECKING:
    from proa.declare.context import UnitOfWork

T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])
Deliver = Literal["once", "everywhere"]
Upgrade = Callable[[dict[str, Any], int], dict[str, Any]]
"""Makes the fields of an event of an older version those of the present one: (fields, version) -> fields."""
RETENTION_S = 24 * 3600.0
_encode = msgspec.msgpack.Encoder().encode
_decode_versioned = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw]).decode
_decode_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Owner(Protocol):
    """What an event needs of its app."""

    name: str
    regions: tuple[str, ...]
    topology: Topology

    def add_queue(self, queue: Queue[Any]) -> None: ...


class EventOptions(TypedDict, total=False):
    """How an event works.

    `version` is that of its fields (1); `upgrade` makes those of an older version the present ones, where defaults do
    not. Events can be replayed for `retention_s` (a day; 0: not at all). `residency` names the regions that may hold
    them, if not all may.
    """

    version: int
    upgrade: Upgrade | None
    retention_s: float
    residency: Sequence[str]


class SubscriptionOptions(TypedDict, total=False):
    """How a subscription works.

    `name` is the handler's unless given. `filter` says which events are wanted: a function of the event, or a dict of
    fields and what is wanted of each (see the guide to events). `deliver` is `once`: one region handles an event, that
    which emitted it or its stand-in; or `everywhere`: each region does. The others are those of a queue and of its
    consumer.
    """

    name: str
    filter: Mapping[str, Any] | Callable[[Any], bool] | None
    deliver: Deliver
    retry: Retry
    concurrency: int
    batch: int
    visibility_s: float
    unit: DeclaredUnit | None
    rate_max: float | None
    depth_max: int | None
    depth_alarm: int | None
    age_alarm_s: float | None


class EventCodec(RowCodec[T]):
    """Events to and from the bytes that stores keep: their version, and their fields."""

    def __init__(self, kind: type[T], version: int, upgrade: Upgrade | None) -> None:
        super().__init__(kind)
        fields_of = self.encode
        self.encode: Callable[[T], bytes] = lambda body: _encode((version, msgspec.Raw(fields_of(body))))
        self._version = version
        self._upgrade = upgrade

    def decode(self, data: bytes) -> T:
        version, fields = _decode_versioned(data)
        if version >= self._version or self._upgrade is None:
            return super().decode(bytes(fields))
        return super().decode(_encode(self._upgrade(_decode_fields(fields), version)))


class Subscription(Queue[T]):
    """A queue of the events that one handler wants."""

    def __init__(self, event: Event[Any], name: str, kind: type[T], options: SubscriptionOptions) -> None:
        queue: QueueOptions = _those_of(QueueOptions, options)
        queue["residency"] = event.residency
        super().__init__(f"{event.name}.{name}", kind, queue)
        self._codec = EventCodec(kind, event.version, event.upgrade)
        deliver = options.get("deliver", "once")
        if deliver not in ("once", "everywhere"):
            raise DeclarationError(f"subscription {self.name}: deliver is once or everywhere, not {deliver!r}")
        self.everywhere = deliver == "everywhere"
        self._filter = wanted = options.get("filter")
        self._wants: Callable[[Any], bool] | None = None
        self._rules: Filter = ()
        if callable(wanted):
            self._wants = wanted
        elif wanted is not None:
            self._rules = filter_of(wanted)

    def place(self, home: str) -> Place:
        """What decides which region handles a message. Nobody stands in for a region that each has its own for."""
        return Place(self.name, home, (home,)) if self.everywhere else super().place(home)

    @property
    def shown(self) -> str:
        """Its filter, for people; empty where it has none."""
        if self._filter is None:
            return ""
        return getattr(self._filter, "__name__", "") or msgspec.json.encode(self._filter).decode()

    def wants(self, body: Any) -> bool:
        """Whether an event is for this subscription. One on which a filter fails is: its handler will find out why."""
        try:
            return passes(self._rules, body) and (self._wants is None or bool(self._wants(body)))
        except Exception:  # noqa: BLE001 - the author's filter: neither who emits nor other subscriptions suffer from it
            return True

    def homes(self, region: str, regions: Sequence[str]) -> Sequence[str]:
        """Whose messages an event that was emitted in a region makes."""
        return self.residency or regions if self.everywhere else (region,)

    def message(self, logged: Logged, home: str, at: float, id_: str) -> tuple[str, Envelope]:
        """The message that tells of an event, and its key."""
        key = key_at(self.name, home, PRIORITY, at, id_)
        return key, Envelope.sent(id_, logged.body, at, logged.unit, logged.trace, logged.about)


class Event(Bodies[T]):
    """A declared event with a body of one type."""

    what = "event"

    def __init__(self, app: Owner, name: str, kind: type[T], options: EventOptions) -> None:
        super().__init__(name, kind, options.get("residency", ()))
        self._app = app
        self.version = options.get("version", 1)
        self.upgrade = options.get("upgrade")
        self.retention_s = options.get("retention_s", RETENTION_S)
        if self.version < 1 or self.retention_s < 0:
            raise DeclarationError(
                f"event {name}: version must be 1 or more and retention_s 0 or more, "
                f"got {self.version} and {self.retention_s:g}"
            )
        self.table = self.part_of(EVENTS)
        self._codec = EventCodec(kind, self.version, self.upgrade)
        self.subscriptions: dict[str, Subscription[Any]] = {}

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of what is kept of it."""
        return (self.table, SCHEMAS, REPLAYS)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of its body."""
        return json_schema(self.kind)

    @overload
    def on(self, handler: H, /) -> H: ...
    @overload
    def on(self, handler: None = None, /, **options: Unpack[SubscriptionOptions]) -> Callable[[H], H]: ...
    def on(self, handler: H | None = None, /, **options: Unpack[SubscriptionOptions]) -> H | Callable[[H], H]:
        """Declare a handler of this event. See `SubscriptionOptions`.

        It takes what a queue's consumer takes. The body may be of another type than the event's, with fewer fields, or
        with more that have defaults.
        """
        if handler is not None:
            return self._subscribe(handler, options)
        return lambda declared: self._subscribe(declared, options)

    def _subscribe(self, handler: H, options: SubscriptionOptions) -> H:
        name = options.get("name") or handler.__name__
        if options.get("deliver") == "everywhere" and self._app.topology == "active-passive":
            raise DeclarationError(
                f"subscription {self.name}.{name}: deliver `everywhere` needs topology active-active; a standby "
                "handles nothing"
            )
        subscription = Subscription(self, name, self._taken(name, handler), options)
        subscription.declared = consumer(subscription.name, handler, _those_of(ConsumerOptions, options))
        self._app.add_queue(subscription)
        self.subscriptions[name] = subscription
        return handler

    def _taken(self, name: str, handler: Callable[..., Any]) -> type[Any]:
        """The type of which a handler takes the body."""
        hints = [hint for parameter, hint in get_type_hints(handler).items() if parameter != "return"]
        kind = _body_of(hints[0]) if hints else self.kind
        if kind is self.kind or not is_model(kind):
            return self.kind
        if wrong := unreadable(self.schema, json_schema(kind)):
            raise DeclarationError(f"subscription {self.name}.{name} cannot read the event as {kind}: {wrong[0]}")
        return kind

    async def emit(self, body: T, *, subject: str = "", id: str | None = None) -> str:
        """Tell what happened with the present unit; the event's id.

        `subject` is what it happened to. An event that came from outside may keep its `id`.

        Raises:
            MessageTooLarge: it is larger than stores keep.
            QueueFull: as many messages wait as a subscription may hold; nothing of the unit is committed.
        """
        unit = current_unit()
        logged = self._logged(unit, self.encoded(body), subject, id or unit.event_id())
        for subscription in self.subscriptions.values():
            if subscription.wants(body):
                for home in subscription.homes(unit.region, self._app.regions):
                    unit.send(subscription, home, *subscription.message(logged, home, logged.at, logged.id))
        if self.retention_s:
            key = log_key(self.name, milliseconds(logged.at), logged.id)
            expires_at = logged.at + self.retention_s
            unit.note(self, Write(self.table, key, _encode(logged), expires_at=expires_at))
        return logged.id

    def _logged(self, unit: UnitOfWork, data: bytes, subject: str, id_: str) -> Logged:
        from proa.declare.cloudevents import timestamp

        now, version = unit.now(), str(self.version)
        about = {"id": id_, "source": f"/{self._app.name}/{unit.region}", "type": self.name, "time": timestamp(now)}
        about["dataversion"] = version
        if subject:
            about["subject"] = subject
        return Logged(id_, data, now, unit.region, unit.unit, about, unit.trace)


def _those_of(kind: Any, options: Mapping[str, Any]) -> Any:
    """Those of some options that a kind of options has."""
    return {name: value for name, value in options.items() if name in kind.__annotations__}


def _body_of(hint: Any) -> Any:
    """What a handler's parameter holds: a message's body, or that of each in a list."""
    while arguments := get_args(hint):
        hint = arguments[0]
    return Any if hint is Message else hint
