"""The loop: asyncio in virtual time, one turn after another in an order that a seed decides.

Nothing waits really: where nothing is ready, time jumps to the next timer. Every handle belongs to a process (or to the
world itself), known by its context; a process reads time on its own clock, does not run while it is paused, and never
again once it is dead. A process can also be stalled in the middle of a step, as a real one is when the machine is: the
rest of the world then goes on inside the call, and the step resumes where it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec

from proa.errors import SimulationEscape

T = TypeVar("T")
_leave_task: Any = vars(asyncio.tasks)["_leave_task"]
_enter_task: Any = vars(asyncio.tasks)["_enter_task"]


class Killed(BaseException):
    """Raised in the code of a process at the instant of its death, to unwind it."""


class Deadlock(RuntimeError):
    """Nothing in the world can ever happen again, and the coroutine that runs it still waits."""


class Dial(Protocol):
    """What the loop must know of a process's clock."""

    exact: bool
    """It shows true time: neither of the others need be asked."""

    def monotonic(self, true_s: float) -> float: ...
    def true_of(self, local_s: float) -> float: ...


class Process(Protocol):
    """What the loop must know of the owner of a handle."""

    halted: bool
    """Paused or dead: its handles do not run."""
    dead: bool
    held: list[Any]
    """Handles that became ready while it was paused."""

    @property
    def clock(self) -> Dial: ...


OWNER: ContextVar[Process | None] = ContextVar("owner", default=None)


class _Task(asyncio.Task[T]):
    """A task whose hash is the number of its making, so that sets of tasks are walked in the same order everywhere."""

    __slots__ = ("_number", "owner")

    def __init__(self, coroutine: Any, loop: Any, context: Context | None) -> None:
        loop.tasks_made += 1
        self._number = loop.tasks_made
        self.owner = OWNER.get() if context is None else context.get(OWNER)
        super().__init__(coroutine, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class Alarm(msgspec.Struct, eq=False):
    """A callback that is due, as asyncio's Handle and TimerHandle, without what a simulation has no use for.

    `due` is on the clock of `owner`; where that is None it is the world itself that acts.
    """

    act: Callable[..., object]
    arguments: tuple[Any, ...]
    context: Context | None
    owner: Any
    due: float = 0.0
    over: bool = False

    def cancel(self) -> None:
        self.over = True

    def cancelled(self) -> bool:
        return self.over

    def when(self) -> float:
        return self.due


class Patience:
    """The waits of one process that have the same limit: they end in the order in which they began.

    So one timer serves them all. Hardly any wait comes to its limit, and a timer for each would be set to be cancelled.
    """

    __slots__ = ("_loop", "_seconds", "_set", "_waits")

    def __init__(self, loop: SimLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._waits: deque[tuple[float, asyncio.Future[Any], Callable[[], Exception]]] = deque()
        self._set = False

    def add(self, future: asyncio.Future[Any], error: Callable[[], Exception]) -> None:
        """Begin to wait."""
        waits = self._waits
        while waits and waits[0][1].done():
            waits.popleft()
        waits.append((self._loop.time() + self._seconds, future, error))
        if not self._set:
            self._watch_first()

    def _watch_first(self) -> None:
        self._set = True
        self._loop.call_at(self._waits[0][0], self._is_up, self._waits[0][1])

    def _is_up(self, watched: asyncio.Future[Any]) -> None:
        """The time of the wait that was watched is up; go on with the first that is not over."""
        waits, self._set = self._waits, False
        while waits and (waits[0][1] is watched or waits[0][1].done()):
            _, future, error = waits.popleft()
            if not future.done():
                future.set_exception(error())
        if waits:
            self._watch_first()


class SimLoop(asyncio.BaseEventLoop):
    """asyncio's loop in virtual time. `order` permutes the ready tasks of each turn; None leaves them in order."""

    def __init__(self, order: Random | None = None) -> None:
        super().__init__()
        self.now_s = 0.0
        self.current: Process | None = None
        self.tasks_made = 0
        self._order = order
        self._together = 0
        self._timers: list[tuple[float, int, Alarm]] = []
        self._patience: dict[tuple[Process | None, float], Patience] = {}
        self._count = 0
        self._ready: Any  # asyncio's own
        self._stopping: bool
        self.create_future = partial(asyncio.Future, loop=self)
        self.set_exception_handler(_report)

    get_debug = bool  # pyright: ignore[reportAssignmentType]  # never; each future asks, so it is no Python function

    # Time.

    def time(self) -> float:
        """The clock of whoever asks: a process's own, or true time for the world."""
        owner = self.current
        return self.now_s if owner is None or owner.clock.exact else owner.clock.monotonic(self.now_s)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        return self._set(when, callback, args, context or copy_context())

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        return self._set(self.time() + delay, callback, args, context or copy_context())

    def rest(self, seconds: float) -> asyncio.Future[None]:
        """What is done in `seconds` on the clock of whoever asks: a sleep in one callback."""
        future: asyncio.Future[None] = self.create_future()
        self._set(self.time() + seconds, _rouse, (future,), None)
        return future

    def limit(self, future: asyncio.Future[Any], seconds: float, error: Callable[[], Exception]) -> None:
        """Give `future` an error unless it is done in `seconds` on the clock of whoever asks."""
        owner = self.current
        patience = self._patience.get((owner, seconds))
        if patience is None:
            patience = self._patience[owner, seconds] = Patience(self, seconds)
        patience.add(future, error)

    def _set(self, due: float, act: Callable[..., object], arguments: Any, context: Context | None) -> Alarm:
        owner = self.current
        at = due if owner is None or owner.clock.exact else owner.clock.true_of(due)
        alarm = Alarm(act, arguments, context, owner, due)
        self._count += 1
        heappush(self._timers, (at, self._count, alarm))
        return alarm

    def after(self, true_s: float, act: Callable[..., object], *arguments: Any) -> None:
        """Let the world do something in `true_s` of true time."""
        self.at(self.now_s + true_s, act, *arguments)

    def at(self, true_s: float, act: Callable[..., object], *arguments: Any) -> None:
        """Let the world do something at a true time."""
        self._count += 1
        heappush(self._timers, (true_s, self._count, Alarm(act, arguments, None, None, true_s)))

    def retime(self, process: Process) -> None:
        """The clock of `process` changed its speed: its timers fall due at other true times."""
        self._timers[:] = [
            (process.clock.true_of(alarm.due), number, alarm) if alarm.owner is process else (at, number, alarm)
            for at, number, alarm in self._timers
        ]
        heapify(self._timers)

    # Turns.

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        if context is None:
            alarm = Alarm(callback, args, copy_context(), self.current)
        else:
            alarm = Alarm(callback, args, context, context.get(OWNER))
        self._ready.append(alarm)
        return alarm

    call_soon_threadsafe = call_soon

    def _run_once(self) -> None:
        """One turn for asyncio; here all turns until the loop is stopped."""
        self._turns()

    def _turns(self, stalled: Any = None, until: float = 0.0) -> None:
        """One callback after another, each as its owner: what is ready; where nothing is, time jumps to what is due.

        They end when the loop is stopped and, if a process is `stalled`, when it may go on: `until` is over, or it was
        resumed or killed.
        """
        ready, timers, order = self._ready, self._timers, self._order
        while not self._stopping and (stalled is None or (_stands(stalled) and self.now_s < until)):
            if ready:
                alarm: Alarm = ready.popleft() if order is None else self._drawn(order)
            elif timers:
                at, _, alarm = heappop(timers)
                if at > self.now_s:  # noqa: PLR1730 - it runs too often for a call
                    self.now_s = at
            else:
                raise Deadlock("nothing can happen any more: every task waits and no timer is set")
            owner = alarm.owner
            if alarm.over:
                continue
            if owner is not None and owner.halted:
                owner.held.append(alarm)  # it waits until its owner goes on
                continue
            self.current = owner
            try:
                if alarm.context is None:
                    alarm.act(*alarm.arguments)
                else:
                    alarm.context.run(alarm.act, *alarm.arguments)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as asyncio does: it belongs to nobody
                self.call_exception_handler({"message": f"in {alarm.act!r}", "exception": error})
        self.current = None

    def _drawn(self, order: Random) -> Alarm:
        """The next that is ready, in the order drawn for those that became ready together."""
        if not 0 < self._together <= len(self._ready):
            self._together = len(self._ready)
            if self._together > 1:
                self._permute(order)
        self._together -= 1
        return self._ready.popleft()

    def _permute(self, order: Random) -> None:
        """Shuffle the task steps among their places; asyncio promises order only for plain callbacks."""
        batch = list(self._ready)
        places = [place for place, handle in enumerate(batch) if _is_step(handle)]
        steps = [batch[place] for place in places]
        order.shuffle(steps)
        for place, step in zip(places, steps, strict=True):
            batch[place] = step
        self._ready.clear()
        self._ready.extend(batch)

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> Any:
        task = _Task[Any](coro, self, context)
        if name is not None:
            task.set_name(name)
        return task

    # Processes.

    def stall(self, process: Any, seconds: float) -> None:
        """Let `process`, which is in the middle of a step, stand still while the rest of the world goes on.

        Raises:
            Killed: it was killed meanwhile, or the world ended.
        """
        until = self.now_s + seconds
        self.after(seconds, lambda: None)
        task = asyncio.current_task(self)
        if task:
            _leave_task(self, task)
        before, process.halted, process.stalled = self.current, True, True
        self._turns(process, until)
        process.stalled = False
        self.current = before
        if task:
            _enter_task(self, task)
        if process.dead or self._stopping:
            raise Killed
        process.resume()

    def requeue(self, handles: list[Any]) -> None:
        """Run these before what is ready now: they became so earlier."""
        self._ready.extendleft(reversed(handles))

    def begin(self, work: Coroutine[Any, Any, Any], owner: Any) -> None:
        """Let a process begin with `work`, in this turn, or when it is resumed."""
        steps = Steps(work, owner.unfinished)
        owner.unfinished[steps] = None
        context = owner.context.copy()
        if owner.halted:
            owner.held.append(Alarm(steps.go_on, (), context, owner))
        else:
            self.current = owner
            context.run(steps.go_on)

    # What would leave the world.

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # noqa: ARG002
        """Run at once: there are no threads here."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits
            future.set_exception(error)
        return future

    async def create_connection(self, *_: Any, **__: Any) -> NoReturn:
        raise SimulationEscape("a real connection was opened")

    async def create_server(self, *_: Any, **__: Any) -> NoReturn:
        raise SimulationEscape("a real port was opened")

    async def getaddrinfo(self, *_: Any, **__: Any) -> NoReturn:
        raise SimulationEscape("a real name was looked up")

    def _process_events(self, event_list: Any) -> None:
        """There are no events but those of the world."""

    def _write_to_self(self) -> None:
        """There is nobody to wake from elsewhere."""

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """A generator that a dead process left behind is not run to its end."""


def run(main: Coroutine[Any, Any, T], order: Random | None = None) -> T:
    """Run a coroutine to its end in virtual time."""
    loop = SimLoop(order)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


class Steps(msgspec.Struct, eq=False):
    """A coroutine that goes on, without a task, whenever what it waits for is done.

    That is cheaper than a task, which nobody may ask for here: no time-out and no task group works within. `pending` is
    where its like are kept until they end; a process that dies leaves them there.
    """

    work: Coroutine[Any, Any, Any]
    pending: dict[Steps, None]

    def go_on(self, _: object = None) -> None:
        """Run until it waits for something, or ends."""
        try:
            waits_for = self.work.send(None)
        except StopIteration:
            del self.pending[self]
        else:
            waits_for._asyncio_future_blocking = False  # noqa: SLF001 - what a task does with what it awaits
            waits_for.add_done_callback(self.go_on)

    def close(self) -> None:
        """Give it up."""
        self.work.close()


def _rouse(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _stands(process: Any) -> bool:
    return process.stalled and not process.dead


def _is_step(handle: Any) -> bool:
    return isinstance(getattr(handle.act, "__self__", None), asyncio.Task | Steps)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    abandoned = context["message"].startswith(("Task was destroyed", "Future exception was never"))
    if not abandoned and not isinstance(context.get("exception"), Killed):
        loop.default_exception_handler(context)
