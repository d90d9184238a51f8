"""Escapes: an author's code that reaches out of its world is refused, and what it draws by lot can be drawn again.

A simulated region has no real clock, threads, processes or sockets. A handler that uses them would make every run
another one, so it gets a `SimulationEscape` that names its line and the seam to use instead. Randomness needs no seam:
within a node `random`, `secrets`, `uuid4` and `os.urandom` draw from a stream of that node.

Two rules say whose act it was. A *clock* is refused to the author's own lines alone: a library that stamps a log record
does no harm. A *door* (sleep, thread, process, socket) is refused wherever it is opened on the author's behalf, unless
Proa stands between the author and it. The author's is every file that is neither Proa's, nor of the standard library,
nor an installed package.

How it is done: while a world runs, functions are replaced where everybody looks them up, in a module or a class. The
methods of `datetime` are replaced inside the class itself, as the library time-machine does: a class put in its place
would not be the one that the fields of an author's types name. Names that were bound earlier (`from time import time`,
`KeyCache(fetch, time.monotonic)`) are replaced where the app's handlers can reach them: see `reach`.

What is not caught: a function bound before the world began in a tuple, a `functools.partial`, the default of a msgspec
field or a library's object; a clock that a library reads on an author's behalf; a lock waited for directly; extensions
in C with a clock, sockets or randomness of their own; an app that is itself an installed package.
"""

from __future__ import annotations

import asyncio
import ctypes
import datetime as dt
import gc
import inspect
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import PurePath
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType
from typing import Any, Literal, NamedTuple

import proa
from proa.app import App
from proa.errors import SimulationEscape
from proa.simulation.loop import SimLoop
from proa.simulation.reach import Put, places

Whose = Literal["author", "proa", "library"]
Call = Callable[..., Any]

CLOCK = "use `ctx.now()`, or a clock that is passed in"
TIMER = "use `asyncio.get_running_loop().time()`, or a clock that is passed in"
SLEEP = "use `await asyncio.sleep(...)`"
THREAD = "use `await asyncio.to_thread(...)` or a sync handler, which run inline here"
PROCESS = "pass in what needs a process, and something else in a simulation"
SOCKET = "pass the client in, and one without a network in a simulation"

CLOCKS: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("time", "time_ns", "localtime", "gmtime", "ctime", "asctime"), 0, CLOCK),
    (("clock_gettime", "clock_gettime_ns", "strftime"), 1, CLOCK),
    (("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns"), 0, TIMER),
    (("thread_time", "thread_time_ns"), 0, TIMER),
)
"""Functions of `time`, with how many arguments at most they read the clock, and the seam."""
CALENDARS = ((dt.datetime, "now"), (dt.datetime, "utcnow"), (dt.date, "today"))
DOORS: tuple[tuple[Any, tuple[str, ...], str, str], ...] = (
    (time, ("sleep",), "sleeps in real time", SLEEP),
    (threading.Thread, ("start",), "starts a thread", THREAD),
    (threading.Condition, ("wait",), "waits for another thread", THREAD),
    (sys.modules["_thread"], ("start_new_thread",), "starts a thread", THREAD),
    (subprocess.Popen, ("__init__",), "starts a process", PROCESS),
    (asyncio.BaseEventLoop, ("subprocess_exec", "subprocess_shell"), "starts a process", PROCESS),
    (os, ("fork", "forkpty", "system", "posix_spawn", "posix_spawnp", "execv", "execve"), "starts a process", PROCESS),
    (socket.socket, ("__init__",), "opens a socket", SOCKET),
    (socket, ("getaddrinfo", "gethostbyname", "gethostbyaddr"), "asks the real network", SOCKET),
    (SimLoop, ("create_connection", "create_server", "getaddrinfo"), "opens a connection", SOCKET),
)


@contextmanager
def guarded(
    inside: Callable[[], bool], entropy: Callable[[], random.Random], app: App | None = None
) -> Generator[list[SimulationEscape]]:
    """Refuse escapes, and make randomness repeatable, while `inside()` says that a node's code is running.

    `entropy` gives that node's stream. Names that were bound earlier are looked for in what `app` can reach. Yields the
    escapes up to now, one for each line, also those that a handler swallowed. Other threads and code outside of nodes
    notice nothing; in the end nothing is left replaced.
    """
    outer, watch = _Watch.now, _Watch(inside, entropy)
    bound = list(_bound_earlier(app)) if app else []
    try:
        _Watch.now = watch
        _replace("guard")
        for put, original in bound:
            put(_GUARDS[original])
        yield watch.seen
    finally:
        for put, original in bound:
            put(original)
        _Watch.now = outer
        if outer is _NOBODY:
            _replace("original")


class _Watch:
    """Who is asked whether a node's code is running. `now` is the one in force."""

    now: _Watch

    def __init__(self, inside: Callable[[], bool], entropy: Callable[[], random.Random]) -> None:
        self._inside = inside
        self._thread = threading.get_ident()
        self.entropy = entropy
        self.seen: list[SimulationEscape] = []

    def inside(self) -> bool:
        """Whether whoever asks is a node's code."""
        return self._inside() and threading.get_ident() == self._thread

    def refuse(self, frame: FrameType, what: str, seam: str) -> None:
        """Raise what names the frame's line."""
        escape = SimulationEscape(f"{frame.f_code.co_filename}:{frame.f_lineno}: {what}; {seam}")
        if escape.detail not in [seen.detail for seen in self.seen]:
            self.seen.append(escape)
        raise escape


_NOBODY = _Watch.now = _Watch(lambda: False, random.Random)


# Guards: what stands in place of a function while a world runs.


def _clock(call: Call, what: str, arguments_max: int, seam: str) -> Call:
    @wraps(call)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if len(args) <= arguments_max and _Watch.now.inside() and (frame := _author_at(_caller())):
            _Watch.now.refuse(frame, what, seam)
        return call(*args, **kwargs)

    return guard


def _calendar(method: Any, what: str) -> Any:
    def guard(kind: type[Any], *args: Any, **kwargs: Any) -> Any:
        if _Watch.now.inside() and (frame := _author_at(_caller())):
            _Watch.now.refuse(frame, what, CLOCK)
        return method.__get__(None, kind)(*args, **kwargs)

    return classmethod(guard)


def _door(call: Call, what: str, seam: str) -> Call:
    @wraps(call)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if _Watch.now.inside() and (frame := _author_behind(_caller())):
            _Watch.now.refuse(frame, what, seam)
        return call(*args, **kwargs)

    return guard


def _drawn(call: Call, name: str) -> Call:
    """A function of `random`, drawing from the node's stream."""

    @wraps(call)
    def guard(*args: Any, **kwargs: Any) -> Any:
        watch = _Watch.now
        return (getattr(watch.entropy(), name) if watch.inside() else call)(*args, **kwargs)

    return guard


def _bytes(call: Call) -> Call:
    """`os.urandom` and `os.getrandom`, drawing from the node's stream."""

    @wraps(call)
    def guard(size: int, *args: Any) -> bytes:
        watch = _Watch.now
        return watch.entropy().randbytes(size) if watch.inside() else call(size, *args)

    return guard


def _seed(call: Call) -> Call:
    """`Random.seed`: a generator without a seed gets one from the node's stream."""

    @wraps(call)
    def guard(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and _Watch.now.inside():
            a = _Watch.now.entropy().getrandbits(64)
        call(self, a, version)

    return guard


# Whose line it is.


def _caller() -> FrameType | None:
    """The frame that called a guard, for the guard to ask."""
    here = inspect.currentframe()
    return here.f_back.f_back if here and here.f_back else None


def _author_at(frame: FrameType | None) -> FrameType | None:
    """The frame, if it is the author's; code that a decorator generated belongs to whoever calls it."""
    while frame and frame.f_code.co_filename == "<string>":
        frame = frame.f_back
    return frame if frame and _whose(frame.f_code.co_filename) == "author" else None


def _author_behind(frame: FrameType | None) -> FrameType | None:
    """The author's frame on whose behalf libraries act; None where Proa comes first."""
    while frame and _whose(frame.f_code.co_filename) == "library":
        frame = frame.f_back
    return frame if frame and _whose(frame.f_code.co_filename) == "author" else None


@cache
def _whose(path: str) -> Whose:
    """Whose file it is. What has none (`<frozen importlib>`, generated code) counts as a library's."""
    if path.startswith(_folder_of(proa.__file__)):
        return "proa"
    installed = {"site-packages", "dist-packages"} & set(PurePath(path).parts)
    return "library" if installed or path.startswith(("<", _folder_of(os.__file__))) or not path else "author"


def _folder_of(file: str) -> str:
    return os.path.join(os.path.dirname(file), "")  # noqa: PTH118, PTH120 - compared with paths as code objects have them


# What is replaced.


class _Swap(NamedTuple):
    """`owner.name`: as it is, and what stands there while a world runs."""

    owner: Any
    name: str
    original: Any
    guard: Any


def _swap(owner: Any, name: str, guard: Callable[..., Any], *args: Any) -> _Swap:
    original = owner.__dict__[name]
    return _Swap(owner, name, original, guard(original, *args))


def _swaps() -> Iterator[_Swap]:
    for names, arguments_max, seam in CLOCKS:
        for name in _present(time, names):
            yield _swap(time, name, _clock, f"`time.{name}` reads the real clock", arguments_max, seam)
    for kind, name in CALENDARS:
        yield _swap(kind, name, _calendar, f"`{kind.__name__}.{name}` reads the real clock")
    yield _swap(uuid, "uuid1", _clock, "`uuid.uuid1` reads the real clock", 2, "use `uuid.uuid4()`")
    for owner, names, what, seam in DOORS:
        for name in _present(owner, names):
            yield _swap(owner, name, _door, what, seam)
    for name in [name for name, value in vars(random).items() if getattr(value, "__self__", None) is _HIDDEN]:
        yield _swap(random, name, _drawn, name)
    yield _swap(random, "_urandom", _bytes)
    yield from (_swap(os, name, _bytes) for name in _present(os, ("urandom", "getrandom")))
    yield _swap(random.Random, "seed", _seed)


def _present(owner: Any, names: tuple[str, ...]) -> list[str]:
    """Those that this platform has."""
    return [name for name in names if name in vars(owner)]


def _replace(by: Literal["guard", "original"]) -> None:
    for swap in _SWAPS:
        _put(swap.owner, swap.name, getattr(swap, by))


def _put(owner: Any, name: str, value: Any) -> None:
    if owner not in _BUILT_IN:
        setattr(owner, name, value)
        return
    methods: dict[str, Any] = gc.get_referents(vars(owner))[0]  # the dict behind the read-only view of it
    methods[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))


def _bound_earlier(app: App) -> Iterator[tuple[Put, Any]]:
    """Where the app's code holds an original under a name of its own."""
    handlers = [*(route.handler for route in app.routes), *(check.check for check in app.checks.values())]
    for value, put in places(handlers, lambda path: _whose(path) == "author"):
        if put and value.__class__ in _FUNCTIONS and value in _GUARDS:
            yield put, value


_FUNCTIONS = (BuiltinFunctionType, FunctionType, MethodType)
_BUILT_IN = (dt.datetime, dt.date)
_HIDDEN = vars(random)["_inst"]
"""The generator behind the functions of `random`."""
_SWAPS = tuple(_swaps())
_GUARDS = {
    getattr(swap.owner, swap.name): swap.guard.__get__(None, swap.owner) if swap.owner in _BUILT_IN else swap.guard
    for swap in _SWAPS
}
