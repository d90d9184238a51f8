"""The unit of work: what one invocation reads and writes, until it commits in exactly one store.

Reads are remembered with their versions, absence included; writes are buffered. The unit is also the handler's
`Context`. It decides nothing about retries or answers: `runtime.invoke` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from msgspec.structs import replace

from proa.core.dedupe import Outcome
from proa.core.home import Place
from proa.core.identity.principal import Principal
from proa.core.queue import OUTBOX, SEPARATOR, Envelope
from proa.core.replicate.journal import Key, Row, Write
from proa.core.replicate.resolve import dots_of
from proa.core.residency import table_of
from proa.core.trace import kept_trace
from proa.declare.context import Calling
from proa.declare.handlers import DeclaredUnit, Route
from proa.declare.tables import BaseTable
from proa.errors import MixedHome, MixedUnit, NotHome, NotResident, NoUnit, ReadOnlyUnit, UnitMisclassified
from proa.ports import Batch, Clock, Entropy, GlobalStore, Position, RegionStore, Span
from proa.runtime.authority import Authority

if TYPE_CHECKING:
    from proa.core.policy.cache import Purge
    from proa.declare.effects import Effect
    from proa.declare.events import Event
    from proa.declare.http import Request
    from proa.declare.levels import Level
    from proa.declare.queues import Queue
    from proa.runtime.effects import Effects
    from proa.runtime.levels import Levels, Source
    from proa.runtime.resident import Resident
    from proa.runtime.sagas.engine import Sagas
    from proa.runtime.secrets import Keeper
    from proa.runtime.session import Session

Store = Literal["regional", "global"]
DEADLINE_HEADER = "proa-deadline-ms"
STORES: Mapping[DeclaredUnit, Store] = {"regional": "regional", "home": "regional", "global": "global"}
"""The store in which units of a class commit."""


_encode = msgspec.msgpack.Encoder().encode


class Elsewhere(BaseException):
    """Ends a handler that writes, or reads strongly, a row whose home this region may not act for.

    No handler catches it.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class Outbound(Protocol):
    """What a unit asks of the region's queues before it sends."""

    def admit(self, queue: Queue[Any], home: str) -> None:
        """Raises QueueFull where as many messages wait for a home as may."""
        ...

    def left(self) -> None:
        """A unit left messages in the global store, or may have."""
        ...


Purging = Callable[["set[Purge]"], None]
"""Has every region forget kept answers."""


class Frame(msgspec.Struct, frozen=True):
    """What a unit knows of the invocation around it. `deadline` is on the region's monotonic clock.

    `levels` says what rows are read through where a level is asked for, or a `session` looks on. `again`: an earlier
    run of the handler lost a race. `authority` says for which homes the region may act, `calls` how dependencies are
    called, `purging` how kept answers are forgotten where any are. `first` is the unit of the first run where this is
    a later one, `ground` the place for which an errand acts, `request` that of a client who may leave before it is
    answered.
    """

    unit: str
    trace: str = ""
    key: str | None = None
    headers: Mapping[str, str] = {}
    deadline: float = float("inf")
    authority: Authority | None = None
    levels: Levels | None = None
    session: Session | None = None
    again: bool = False
    principal: Principal | None = None
    secrets: Keeper | None = None
    outbound: Outbound | None = None
    calls: Calling | None = None
    effects: Effects | None = None
    sagas: Sagas | None = None
    purging: Purging | None = None
    first: str = ""
    ground: Place | None = None
    request: Request | None = None


class Unit:
    """One run of a handler. Created anew for each attempt, so that a re-run sees fresh reads.

    `fenced_rows` says whether it rests on rows that only the active region, or their home, may write; `places` are
    those whose home it claims to run in, `elsewhere` the one where it does not. `degraded` names the fallbacks that had
    their part in its answer.
    """

    __slots__ = (
        "_again",
        "_authority",
        "_calls",
        "_clock",
        "_dependencies",
        "_effects",
        "_entropy",
        "_first",
        "_global",
        "_levels",
        "_outbound",
        "_purges",
        "_purging",
        "_reads",
        "_regional",
        "_resident",
        "_rows",
        "_secrets",
        "_snapshots",
        "_told",
        "deadline",
        "degraded",
        "elsewhere",
        "fenced_rows",
        "ground",
        "headers",
        "idempotency_key",
        "places",
        "principal",
        "region",
        "request",
        "route",
        "sagas",
        "session",
        "store",
        "trace",
        "unit",
        "writes",
    )

    def __init__(
        self,
        region: str,
        route: Route | None,
        stores: tuple[RegionStore, GlobalStore],
        clock: Clock,
        entropy: Entropy,
        frame: Frame,
    ) -> None:
        self.region = region
        self.route = route
        self._regional, self._global = stores
        self._clock = clock
        self._entropy = entropy
        self.unit = frame.unit
        self.trace = frame.trace
        self.idempotency_key = frame.key
        self.headers = frame.headers
        self.request = frame.request
        self.principal = frame.principal
        self.deadline = frame.deadline
        self._levels = frame.levels
        self.session = frame.session
        self._secrets = frame.secrets
        self._again = frame.again
        self._outbound = frame.outbound
        self._effects = frame.effects
        self.sagas = frame.sagas
        self._purging = frame.purging
        self._purges: set[Purge] | None = None
        self._first = frame.first or frame.unit
        self.ground = frame.ground
        self._calls: dict[str, int] | None = None
        self._told: list[Queue[Any] | Event[Any]] = []
        self._dependencies = frame.calls
        self.degraded: tuple[str, ...] = ()
        self._snapshots: set[Key] = set()
        self._authority = frame.authority
        self._rows: dict[Key, Row | None] = {}
        self._reads: dict[Store, dict[Key, int]] = {}
        self.writes: dict[Key, Write] = {}
        self.store: Store | None = None
        self.fenced_rows = False
        self._resident: Resident | None = None
        self.places: tuple[Place, ...] = ()
        self.elsewhere: Place | None = None

    # `declare.context.Context`.

    def now(self) -> float:
        return self._clock.now()

    def remaining_s(self) -> float:
        return max(0.0, self.deadline - self._clock.monotonic())

    def token(self) -> str:
        return self._entropy.token()

    def onward(self) -> Mapping[str, str]:
        return {"traceparent": self.trace, DEADLINE_HEADER: str(int(self.remaining_s() * 1000))}

    # `declare.context.UnitOfWork`.

    @property
    def calls(self) -> Calling:
        if self._dependencies is None:
            raise NoUnit("the app of this unit declares no dependencies")
        return self._dependencies

    def degrade(self, mark: str) -> None:
        if mark not in self.degraded:
            self.degraded = (*self.degraded, mark)

    async def get(self, table: BaseTable[Any], key: str, level: Level | None = None) -> bytes | None:
        if table.residency:
            return (await self._parts.get_many(table, [key], level))[0]
        address = (table.name, key)
        if self._unread(address, level):
            found = await self.source(table, level).read([address])
            self.remember(table, address, found[0], level)
        return self._value(address)

    async def get_many(
        self, table: BaseTable[Any], keys: Sequence[str], level: Level | None = None
    ) -> list[bytes | None]:
        """Several rows, read in one call of the store."""
        if table.residency:
            return await self._parts.get_many(table, keys, level)
        addresses = [(table.name, key) for key in keys]
        await self.fetch(table, addresses, level)
        return [self._value(address) for address in addresses]

    async def fetch(self, table: BaseTable[Any], addresses: Sequence[Key], level: Level | None) -> None:
        """Read those rows that this unit has neither read nor written; at a level, read rows are read again."""
        asked = [each for each in addresses if self._unread(each, level)]
        if asked:
            for address, row in zip(asked, await self.source(table, level).read(asked), strict=True):
                self.remember(table, address, row, level)

    def _unread(self, address: Key, level: Level | None) -> bool:
        return address not in self.writes and (level is not None or not self._validates(address))

    def _validates(self, address: Key) -> bool:
        """Whether a row was read that the commit will check."""
        return address in self._rows and address not in self._snapshots

    def known(self, address: Key) -> Row | Write | None:
        """What this unit has written, or read, under an address."""
        return self.writes.get(address) or self._rows[address]

    def _value(self, address: Key) -> bytes | None:
        found = self.known(address)
        if found is None or (found.expires_at is not None and not found.alive(self._clock.now())):
            return None
        return found.value

    async def query(
        self, table: BaseTable[Any], span: Span, level: Level | None = None
    ) -> tuple[list[tuple[Position, bytes]], bool]:
        """Rows of a span with this unit's own writes among them; what it returns, and no more, is a read."""
        if table.residency:
            return await self._parts.query(table, span, level)
        own = {key: write for (name, key), write in self.writes.items() if name == table.name}
        now = self._clock.now()
        asked = replace(span, limit=span.limit + len(own) + 1, now=now)
        rows = {row.key: row for row in await self.source(table, level).query(asked)}
        seen = {key: row.value for key, row in (rows | own).items() if row.alive(now)}
        found = sorted(placed(table, span, seen), reverse=span.reverse)
        page = found[: span.limit]
        for (_, key), _ in page:
            if key not in own:
                self.remember(table, (table.name, key), rows[key], level)
        return page, len(found) > span.limit

    def secret(self, name: str) -> tuple[str, ...]:
        assert self._secrets, "a region whose app declares secrets keeps them"
        return self._secrets.versions(name)

    async def standing(self, table: BaseTable[Any], key: str) -> list[str]:
        return await self._parts.standing(table, key)

    @property
    def _parts(self) -> Resident:
        """This unit's view of tables that only some regions may hold."""
        if self._resident is None:
            from proa.runtime.resident import Resident  # a function of tables that every region holds never needs it

            self._resident = Resident(self)
        return self._resident

    @property
    def holders(self) -> tuple[str, ...]:
        """The regions that may hold the answer of this unit; empty: every one."""
        return self._resident.holders() if self._resident else ()

    def source(self, table: BaseTable[Any], level: Level | None) -> RegionStore | GlobalStore | Source:
        """What to read through: the table's store, unless a level or a session asks for more.

        A handler that runs again lost a race for its rows: it reads none of a `strong` table out of the past any more.
        """
        if self._levels and (level or self.session):
            return self._levels.source(table, None if self._again and table.mode == "strong" else level, self)
        return self._global if table.mode == "strong" else self._regional

    def remember(self, table: BaseTable[Any], address: Key, row: Row | None, level: Level | None) -> None:
        """Of several reads of a row the first is validated: where a later one differs, the commit will fail.

        A bounded read of a `strong` table is of a snapshot, which is not validated, unless the unit writes the row.
        """
        if level and level.name == "bounded" and table.mode == "strong" and not self._again:
            self._show(address, row)
        elif level or not self._validates(address):
            self._rows[address] = row
            self._validate(table, address, row)

    def _show(self, address: Key, row: Row | None) -> None:
        """Take a row as a snapshot has it, but never an older one than this unit has read strongly."""
        if not self._validates(address):
            self._snapshots.add(address)
            self._rows[address] = row
        elif row and row.version > _version(self._rows[address]):
            self._rows[address] = row

    def _validate(self, table: BaseTable[Any], address: Key, row: Row | None) -> None:
        """Let the commit check that the row is still as it was read."""
        self._snapshots.discard(address)
        store = "global" if table.mode == "strong" else "regional"
        self._reads.setdefault(store, {}).setdefault(address, row.version if row else 0)

    def _store_name(self, table: BaseTable[Any]) -> Store:
        return "global" if table.mode == "strong" else "regional"

    def write(self, table: BaseTable[Any], write: Write) -> None:
        if table.residency:
            self._parts.admit(table, write.table)
        store = self._store_name(table)
        if self.store != store:
            self._choose(store, f"{table.name} ({table.mode})")
        if table.mode == "active" and self.route:
            self.fenced_rows = self.route.needs_role = True
        address = (write.table, write.key)
        self.writes[address] = write
        if address in self._snapshots:  # what is written may rest on what was read
            self._validate(table, address, self._rows[address])

    def claim(self, place: Place) -> None:
        """Go on only if this region may act as home of `place`.

        Raises:
            Elsewhere: it may not, at least not now.
            MixedHome: the unit is in the home of another row.
            UnitMisclassified: the route is of another class.
        """
        if self.route is None or self.route.unit == "read":
            return  # a write will be refused
        if self.route.unit != "home":
            raise UnitMisclassified(f"{self.route.scope} is classified {self.route.unit} but writes a `home` table")
        if self._authority is None:
            raise self._bound()
        if place not in self.places:
            self.attend(place, self._authority)

    def attend(self, place: Place, authority: Authority) -> None:
        """Go on, and commit if there is anything to commit, only while this region acts as home of `place`.

        Raises:
            Elsewhere, MixedHome: as for `claim`.
            NotHome: the unit cannot be handed on at all.
        """
        if not authority.may_write_home(place):
            self._leave(authority.home_of(place), place)
        self.fenced_rows = True
        if place not in self.places:
            self.places = (*self.places, place)

    def stay(self) -> None:
        """Raise Elsewhere if the handler was ended by that, and went on all the same."""
        if self.elsewhere:
            raise Elsewhere(self.elsewhere)

    def _leave(self, home: str | None, place: Place) -> None:
        if self._authority is None or self.route is None:
            raise self._bound()
        scope = self.route.scope
        if self._calls and self.route.unit == "regional":
            raise MixedHome(f"{scope} needs a row whose home is {home} after it called an effect in {self.region}")
        if self.places and home != self.region:
            raise MixedHome(f"{scope} needs a row whose home is {home} besides one whose home is {self.region}")
        self.elsewhere = place
        raise Elsewhere(place)

    def _bound(self) -> NotHome:
        scope = self.route.scope if self.route else "a health check"
        return NotHome(f"{scope} is no request, and cannot be handed on to the row's home")

    def settle(self, tables: Mapping[str, BaseTable[Any]]) -> None:
        """Be in one's home at the end, too: where no such row was written in that of the first one read, or of the key.

        Raises:
            Elsewhere: this region is not it, or was not.
        """
        self.stay()
        if not self.places and (place := self._undecided(tables)):
            self.claim(place)

    def _undecided(self, tables: Mapping[str, BaseTable[Any]]) -> Place | None:
        from proa.declare.homes import place_of  # see `BaseTable._claim`

        for (name, key), row in self._rows.items():
            if (table := tables[table_of(name)]).mode == "home":
                return place_of(table, key, row.value if row else None)
        return Place(self.idempotency_key) if self.idempotency_key else None

    def _choose(self, store: Store, what: str) -> None:
        """Settle on the store that this unit commits in, at its first write, which is named."""
        route = self.route
        if route is None or route.unit == "read":
            raise ReadOnlyUnit(f"{route.scope if route else 'a health check'} wrote {what}")
        if self.store is not None:
            raise MixedUnit(f"{route.scope} writes {what} besides the {self.store} store")
        if store != STORES[route.unit]:
            raise UnitMisclassified(f"{route.scope} is classified {route.unit} but wrote {what}")
        self.store = store

    # Effects: what is done outside, at most once however often the unit runs.

    async def effect(
        self, effect: Effect[Any, Any], arguments: bytes, call: Callable[[str], Awaitable[bytes]]
    ) -> bytes:
        if self._effects is None:
            raise NoUnit(f"effect {effect.name} is none of this app's")
        return await self._effects.call(self, effect, arguments, call)

    @property
    def work(self) -> str:
        """What all attempts at this unit share: its key, or else its first run's id."""
        scope = self.route.scope if self.route else ""
        return f"{scope}{SEPARATOR}{self.idempotency_key or self._first}"

    def next_call(self, name: str) -> int:
        """Which of this run's calls of an effect the next one is."""
        calls = self._calls = self._calls or {}
        calls[name] = calls.get(name, -1) + 1
        return calls[name]

    # Messages: rows of the store that the unit commits in. Out of the global one a region fetches them.

    def message_id(self) -> str:
        return f"{self.unit}{len(self._told):04x}"

    def send(self, queue: Queue[Any], home: str, key: str, envelope: Envelope) -> None:
        if queue.depth_max is not None and self._outbound:
            self._outbound.admit(queue, home)
        table, mode = queue.table, "any"
        if self._store_of_messages(queue) == "global":  # in the order of the regions that fetch them
            table, key, mode = OUTBOX, f"{home}{SEPARATOR}{key}", "strong"
        self.writes[table, key] = Write(table, key, _encode(envelope), mode)
        self._told.append(queue)

    def event_id(self) -> str:
        return f"{self.unit}{len(self.writes):04x}e"  # an event leaves a row at least, or nothing that has its id

    def note(self, event: Event[Any], write: Write) -> None:
        kept = replace(write, mode="strong") if self._store_of_messages(event) == "global" else write
        self.writes[kept.table, kept.key] = kept
        self._told.append(event)

    def _store_of_messages(self, what: Queue[Any] | Event[Any]) -> Store:
        """The store in which this unit commits what it tells others."""
        store: Store = "global" if self.route and self.route.unit == "global" else "regional"
        if self.store != store:
            self._choose(store, f"a message to {what.name}")
        if store == "global" and what.residency:
            raise NotResident(
                f"{what.name} is kept in {', '.join(what.residency)} alone; messages of a global unit pass "
                "through the global store, which is in no region"
            )
        return store

    def keep(self, write: Write) -> None:
        """Let the commit write a row of Proa's own in the region's store."""
        if self.store != "regional":
            self._choose("regional", f"a row of {write.table}")
        self.writes[write.table, write.key] = write

    def _check_sent(self) -> None:
        """What tells of rows that only some regions may hold is sent to no other ones."""
        holders = set(self.holders)
        for told in self._told:
            if holders and not (told.residency and holders.issuperset(told.residency)):
                raise NotResident(
                    f"a unit that met rows which only {', '.join(sorted(holders))} may hold sent a message to "
                    f"{told.name}, which other regions hold, too; declare its residency"
                )

    # Kept answers: they are forgotten when what they rest on can be read anew.

    def purge(self, wanted: Purge) -> None:
        if self._purging is None or self.route is None:
            raise NoUnit("answers are purged by a handler, in an app with a route that keeps some (`cache=`)")
        self._purges = {*(self._purges or ()), wanted}

    def after_commit(self) -> None:
        """What waited until the unit is committed."""
        if self._purges and self._purging:
            self._purging(self._purges)

    # What the commit takes.

    def batch(self, store: Store, outcome: Outcome | None, epoch: int, *, keep_writes: bool) -> Batch:
        """What `store` is asked to commit; without its writes where only the outcome is to be recorded.

        Raises:
            NotResident: it sends what it met to regions that may not hold it.
        """
        if self._resident and self._told:
            self._check_sent()
        return Batch(
            id=self.unit,
            reads=self._reads.get(store, {}),
            writes=list(self.writes.values()) if keep_writes else [],
            outcome=outcome,
            dots=[dot for row in self._rows.values() if row for dot in dots_of(row)] if store == "regional" else [],
            epoch=epoch,
            places=self.places,
            trace=kept_trace(self.unit, self.trace),
        )


def _version(row: Row | None) -> int:
    """The version that a read of a row rests on; 0: there was none."""
    return row.version if row else 0


def placed(table: BaseTable[Any], span: Span, values: Mapping[str, bytes | None]) -> Iterator[tuple[Position, bytes]]:
    """Those of some rows, by key, that lie in a span, with their positions."""
    for key, value in values.items():
        position = None if value is None else table.position(span.index, key, value)
        if value is not None and position is not None and span.start <= position < span.end:
            yield position, value
