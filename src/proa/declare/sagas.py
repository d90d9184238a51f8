"""Sagas: functions that go on for as long as it takes, through steps that are each done once, and undone if need be.

A step is a unit of work: what it writes and sends, and that it was done, are one commit. Between steps the function
holds nothing: where it waits it is put away, and runs again from its start when something happens, with what was done
answered from its journal. So it must do the same each time: only its steps read, write and call.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypedDict, TypeVar, TypeVarTuple, cast, get_type_hints

from proa.core.policy.retry import Retry
from proa.core.queue import SEPARATOR
from proa.core.saga import HOME_MARK, Wake, home_of
from proa.declare.codec import RowCodec
from proa.declare.context import current_unit
from proa.declare.effects import Effect
from proa.declare.handlers import Route
from proa.declare.queues import Consumer, Message, Queue, unit_route
from proa.errors import DeclarationError, Unprocessable

I = TypeVar("I")  # noqa: E741 - what goes in; `R` is what comes out
R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
STEP_TIMEOUT_S = 30.0
CONCURRENCY = 20
KEPT_S = 7 * 24 * 3600.0
ID_LENGTH_MAX = 200
RETRY = Retry(attempts=5, base_s=0.5, cap_s=60.0)
UNDO_RETRY = Retry(attempts=10, base_s=1.0, cap_s=300.0)
WAKE_RETRY = Retry(attempts=1_000_000, base_s=0.5, cap_s=30.0)
"""Of being woken, not of steps: a region that cannot go on now tries again until one can."""


class Saga(Protocol):
    """What a saga's function is given: its steps, waits and children, and time and chance that stay the same.

    Steps are numbered in the order in which they are asked for, and run one at a time.
    """

    @property
    def id(self) -> str:
        """The saga's id."""
        ...

    @property
    def version(self) -> int:
        """The version of the code under which this saga began: what was changed since may not be done by it."""
        ...

    async def step(
        self,
        work: Callable[[*Ts], Awaitable[R]],
        *args: *Ts,
        undo: Callable[[*Ts], Awaitable[Any]] | None = None,
        retry: Retry | None = None,
        timeout_s: float = STEP_TIMEOUT_S,
        name: str = "",
    ) -> R:
        """Do `work` as a unit of its own, once; its result, which must be a value that stores keep.

        `undo` is called with the same arguments if the saga fails later; also where `work` failed, or may have begun.

        Raises:
            StepFailed: it failed in every attempt that `retry` (the saga's own unless given) allows.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Go on after so many seconds; meanwhile nothing of the saga is in memory."""
        ...

    async def wait(self, signal: str, kind: type[T], *, timeout_s: float | None = None) -> T:
        """The value of the next signal of this name, which may have been sent already.

        Raises:
            SignalTimedOut: none came in time.
        """
        ...

    async def child(
        self, saga: DeclaredSaga[I, R], given: I, *, undo: Callable[[I], Awaitable[Any]] | None = None
    ) -> R:
        """Run another saga, and go on with its result.

        Raises:
            StepFailed: it failed; it has undone what it did by itself.
        """
        ...

    def now(self) -> float:
        """When the latest step ended, in seconds since 1970."""
        ...

    def token(self) -> str:
        """A new random identifier, which is the same when the function runs again."""
        ...


class SagaOptions(TypedDict, total=False):
    """How a saga runs.

    `version` is kept with each saga that starts (see `Saga.version`). `retry` is that of its steps, `undo_retry` that
    of their undos. `concurrency` (20) is how many run at once in a region; those that wait do not count. `kept_s` is
    for how long one that ended is remembered: its id cannot be used again until then.
    """

    name: str
    version: int
    retry: Retry
    undo_retry: Retry
    concurrency: int
    kept_s: float


class DeclaredSaga(Generic[I, R]):
    """A declared saga. `function` is the author's own."""

    def __init__(
        self, function: Callable[[Saga, I], Awaitable[R]], options: SagaOptions, regions: Sequence[str]
    ) -> None:
        self.function = function
        self.name = options.get("name") or getattr(function, "__name__", "")
        self.version = options.get("version", 1)
        self.retry = options.get("retry", RETRY)
        self.undo_retry = options.get("undo_retry", UNDO_RETRY)
        self.kept_s = options.get("kept_s", KEPT_S)
        self.regions = tuple(regions)
        concurrency = options.get("concurrency", CONCURRENCY)
        if min(concurrency, self.version) < 1 or self.kept_s <= 0:
            raise DeclarationError(
                f"saga {self.name}: version, concurrency and kept_s must be positive, "
                f"got {self.version}, {concurrency} and {self.kept_s:g}"
            )
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 2:
            raise DeclarationError(f"saga {self.name}: it is an `async def` of a Saga and of what it is started with")
        _, given = inspect.signature(function).parameters
        hints = get_type_hints(function)
        self.input: RowCodec[I] = RowCodec(cast("type[I]", hints.get(given, Any)))
        self.output: RowCodec[R] = RowCodec(cast("type[R]", hints.get("return", Any)))
        self.queue = Queue(f"saga.{self.name}", Wake, {"retry": WAKE_RETRY})
        self.queue.declared = self._consumer(concurrency)
        self._routes: dict[Any, Route] = {}
        self._codecs: dict[Any, RowCodec[Any]] = {}

    def _consumer(self, concurrency: int) -> Consumer:
        """What is done with the messages that wake sagas: the runtime goes on with the saga."""

        async def woken(message: Message[Wake], unit: Any) -> None:
            await unit.sagas.woken(self, message, unit)

        route = unit_route("SAGA", self.queue.name, woken, STEP_TIMEOUT_S, "regional")
        return Consumer(
            route,
            concurrency,
            batch=1,
            visibility_s=2 * STEP_TIMEOUT_S,
            rate_max=None,
            brake=None,
            batched=False,
            whole=True,
            takes_context=True,
        )

    def route_of(self, work: Callable[..., Any]) -> Route:
        """What units of one of this saga's steps must know."""
        same = _same(work)
        if same not in self._routes:
            self._routes[same] = unit_route("STEP", self.queue.name, work, STEP_TIMEOUT_S)
        return self._routes[same]

    def codec_of(self, work: Callable[..., Any]) -> RowCodec[Any]:
        """What keeps and reads results of one of this saga's steps."""
        same = _same(work)
        if same not in self._codecs:
            self._codecs[same] = RowCodec[Any](_result_of(work))
        return self._codecs[same]

    async def start(self, given: I, *, id: str | None = None) -> str:
        """Start one with the present unit; its id. Where there is one of this id already, nothing more happens.

        Its home is the region that the id names before a colon (`eu-west-1:42`), else one that the id decides; without
        an id it is the region of the present unit.

        Raises:
            Unprocessable: the id is none.
        """
        unit = current_unit()
        name = id if id is not None else f"{unit.region}{HOME_MARK}{unit.message_id()}"
        self._post(Wake(self._checked(name), "start", self.input.encode(given)))
        return name

    async def signal(self, id: str, signal: str, value: Any = None) -> None:
        """Let the present unit send a saga a signal. One that it does not wait for yet is kept until it does."""
        if not signal.isidentifier():
            raise Unprocessable(f"saga {self.name}: a signal's name is an identifier, not {signal!r}")
        self._post(Wake(self._checked(id), "signal", encode(value), signal))

    async def cancel(self, id: str) -> None:
        """Let the present unit end a saga at the step at which it next waits; it undoes what it did.

        A step that runs is not interrupted, and those that follow it without a wait are done before. One that has ended
        by then, or is undoing, or was cancelled before, goes on as it does.
        """
        self._post(Wake(self._checked(id), "cancel"))

    def _post(self, wake: Wake) -> None:
        body = self.queue.encoded(wake)
        self.queue.post(current_unit(), body, self.home_of(wake.id))

    def home_of(self, id_: str) -> str:
        """The home of a saga with this id."""
        return home_of(id_, self.regions)

    def _checked(self, id_: str) -> str:
        if not 0 < len(id_) <= ID_LENGTH_MAX or SEPARATOR in id_ or "\0" in id_:
            raise Unprocessable(f"saga {self.name}: an id is a text of 1 to {ID_LENGTH_MAX} characters")
        return id_


def encode(value: Any) -> bytes:
    """Any value as stores keep it."""
    return RowCodec[Any](cast("type[Any]", type(value))).encode(value)


def _same(work: Callable[..., Any]) -> Any:
    """What a step's function is known by: one that is defined anew in each run, to return the same, is the same one."""
    function = _function_of(work)
    returned: Any = getattr(function, "__annotations__", {}).get("return")
    return getattr(function, "__code__", function), returned


def _result_of(work: Callable[..., Any]) -> Any:
    """The type of what a step's function returns."""
    try:
        hints = get_type_hints(inspect.unwrap(_function_of(work)))
    except TypeError:  # no function: an object that is called
        hints = {}
    return hints.get("return", Any)


def _function_of(work: Callable[..., Any]) -> Callable[..., Any]:
    """What is called in the end."""
    if isinstance(work, partial):
        return _function_of(cast("partial[Any]", work).func)
    return work.function if isinstance(work, Effect) else work


def name_of(work: Callable[..., Any]) -> str:
    """What a step is called in the journal."""
    return work.name if isinstance(work, Effect) else getattr(work, "__name__", type(work).__name__)
