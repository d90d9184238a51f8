"""What a handler may ask of the unit of work that it runs in, and how tables find that unit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from proa.core.home import Place
from proa.core.identity.principal import Principal
from proa.core.queue import Envelope
from proa.core.replicate.journal import Write
from proa.errors import NoUnit
from proa.ports import Position, Span

if TYPE_CHECKING:
    from proa.core.policy.breaker import Forced
    from proa.core.policy.cache import Purge
    from proa.declare.levels import Level


class Context(Protocol):
    """The present unit, for a handler that declares a parameter of this type.

    Time and randomness come from here rather than from the system, so that a handler runs the same in a simulation.
    """

    @property
    def region(self) -> str:
        """The region that runs this unit."""
        ...

    @property
    def unit(self) -> str:
        """The unit's id, as in logs; ids sort by time."""
        ...

    @property
    def trace(self) -> str:
        """The W3C `traceparent` of the request."""
        ...

    @property
    def idempotency_key(self) -> str | None:
        """The request's Idempotency-Key."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, names in lower case."""
        ...

    @property
    def principal(self) -> Principal | None:
        """Who asks; None where the route lets anybody in, or nobody asks."""
        ...

    def now(self) -> float:
        """Wall-clock time in seconds."""
        ...

    def remaining_s(self) -> float:
        """Seconds until the unit's deadline."""
        ...

    def token(self) -> str:
        """A new random identifier."""
        ...

    def onward(self) -> Mapping[str, str]:
        """Headers for a call to another service: the trace, and what is left of the time in `proa-deadline-ms`."""
        ...


class Calling(Protocol):
    """The declared calls of dependencies, each behind its policies in one region."""

    def __getitem__(self, call: Any, /) -> Callable[..., Any]: ...
    def force(self, dependency: str, state: Forced | None) -> None:
        """Hold a dependency's breaker in a state, or let it judge again (None)."""
        ...


class UnitOfWork(Context, Protocol):
    """What tables and queues ask of the present unit. `table` is a `proa.declare.tables.BaseTable`."""

    async def get(self, table: Any, key: str, level: Level | None = None) -> bytes | None: ...
    async def get_many(self, table: Any, keys: Sequence[str], level: Level | None = None) -> list[bytes | None]: ...
    async def query(
        self, table: Any, span: Span, level: Level | None = None
    ) -> tuple[list[tuple[Position, bytes]], bool]:
        """The rows of a span as this unit sees them, and whether there are more of them."""
        ...

    async def standing(self, table: Any, key: str) -> list[str]:
        """Those parts of a table, of which this region may hold some only, in which a row stands under `key`."""
        ...

    @property
    def calls(self) -> Calling:
        """How dependencies are called from this region."""
        ...

    def remaining_s(self) -> float: ...
    def degrade(self, mark: str) -> None:
        """Note on the unit's answer that a fallback had its part in it."""
        ...

    def write(self, table: Any, write: Write) -> None: ...
    def purge(self, wanted: Purge) -> None:
        """Once this unit is committed, forget kept answers in every region. See `proa.declare.caching`."""
        ...

    def secret(self, name: str) -> tuple[str, ...]:
        """The versions of a declared secret that are good, the newest first."""
        ...

    def message_id(self) -> str:
        """A new id for a message of this unit; ids sort by time."""
        ...

    def event_id(self) -> str:
        """A new id for an event of this unit."""
        ...

    def note(self, event: Any, write: Write) -> None:
        """Let the commit keep an event. `event` is a `proa.declare.events.Event`."""
        ...

    def send(self, queue: Any, home: str, key: str, envelope: Envelope) -> None:
        """Let the commit put a message for a home under a key. `queue` is a `proa.declare.queues.Queue`."""
        ...

    async def effect(self, effect: Any, arguments: bytes, call: Callable[[str], Awaitable[bytes]]) -> bytes:
        """The result of an effect, which is called under its key if no attempt has. See `proa.declare.effects`."""
        ...

    def claim(self, place: Place) -> None:
        """Say that a row there is about to be written; what runs in another region than its home ends here."""
        ...


CURRENT: ContextVar[UnitOfWork] = ContextVar("proa_unit")


class NoUnitHere:
    """Stands for the present unit where the author's code must not use one, and says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> NoReturn:
        raise NoUnit(self._why)


def current_unit() -> UnitOfWork:
    """The unit that the calling handler runs in; NoUnit outside of one."""
    try:
        return CURRENT.get()
    except LookupError:
        raise NoUnit("tables, queues, dependencies and caches can be used inside a handler only") from None
