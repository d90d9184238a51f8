"""An author's code that reaches out of its world is told which line did, and what to use instead."""
# ruff: noqa: DTZ002, DTZ003, DTZ005, DTZ011, PLW0108, PLW1510
# Each lambda is a line of an author's that must be refused.

import asyncio
import datetime as dt
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from datetime import datetime as bound_datetime
from functools import partial
from random import Random, choice
from time import time as bound_time
from typing import Any

import msgspec
import pytest

from proa import App, Context
from proa.errors import SimulationEscape
from proa.runtime.clock import SystemClock
from proa.simulation.escapes import _SWAPS, guarded
from proa.simulation.loop import run
from proa.simulation.world import World

HERE = __file__


class Node:
    """Whether a node's code is running, and what it draws from."""

    def __init__(self, seed=1):
        self.running = False
        self.rng = Random(seed)

    @contextmanager
    def __call__(self):
        self.running = True
        try:
            yield
        finally:
            self.running = False


@contextmanager
def a_node(app=None, seed=1):
    node = Node(seed)
    with guarded(lambda: node.running, lambda: node.rng, app) as node.seen:
        yield node


def app_with(handler):
    app = App("escaping", regions=["a", "b"])
    app.post("/x")(handler)
    return app


def line_of(function):
    return function.__code__.co_firstlineno


def refused(function, app=None):
    """What the refusal of a function's one line says, without the place, which must be that line."""
    with a_node(app) as node, node(), pytest.raises(SimulationEscape) as caught:
        function()
    place = f"{HERE}:{line_of(function)}: "
    assert caught.value.detail.startswith(place)
    return caught.value.detail.removeprefix(place)


@pytest.mark.parametrize(
    "read",
    [
        lambda: time.time(),
        lambda: time.time_ns(),
        lambda: time.localtime(),
        lambda: time.gmtime(),
        lambda: time.ctime(),
        lambda: time.strftime("%H"),
        lambda: time.clock_gettime(time.CLOCK_REALTIME),
        lambda: dt.datetime.now(),
        lambda: dt.datetime.now(dt.UTC),
        lambda: dt.datetime.utcnow(),
        lambda: dt.datetime.today(),
        lambda: dt.date.today(),
        lambda: date.today(),
        lambda: bound_datetime.now(),
    ],
)
def test_the_wall_clock_is_refused(read):
    assert refused(read).endswith("reads the real clock; use `ctx.now()`, or a clock that is passed in")


@pytest.mark.parametrize(
    "read",
    [lambda: time.monotonic(), lambda: time.perf_counter(), lambda: time.monotonic_ns(), lambda: time.process_time()],
)
def test_a_stopwatch_is_refused(read):
    assert refused(read).endswith("use `asyncio.get_running_loop().time()`, or a clock that is passed in")


def thread():
    return threading.Thread(target=lambda: None)


DOORS = {
    "sleeps in real time": [lambda: time.sleep(9)],
    "starts a thread": [lambda: thread().start(), lambda: threading.Timer(1, print).start()],
    "waits for another thread": [lambda: threading.Event().wait(9)],
    "starts a process": [lambda: subprocess.run(["true"]), lambda: os.system("true"), lambda: os.fork()],
    "opens a socket": [lambda: socket.socket(), lambda: socket.create_connection(("127.0.0.1", 1))],
    "asks the real network": [lambda: socket.getaddrinfo("example.com", 80)],
}


@pytest.mark.parametrize(("what", "act"), [(what, act) for what, acts in DOORS.items() for act in acts])
def test_a_door_out_of_the_world_is_refused(what, act):
    if what == "opens a socket" and "create_connection" in act.__code__.co_names:
        what = "asks the real network"
    assert refused(act).startswith(what)


def test_a_pool_of_threads_is_refused_at_the_line_that_uses_it():
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)
    assert refused(lambda: pool.submit(print)).endswith(
        "use `await asyncio.to_thread(...)` or a sync handler, which run inline here"
    )


def test_what_asyncio_would_open_is_refused():
    async def connect():
        with a_node() as node, node():
            for opening in (
                lambda: asyncio.open_connection("127.0.0.1", 9),
                lambda: asyncio.start_server(print, "127.0.0.1", 0),
                lambda: asyncio.create_subprocess_exec("true"),
            ):
                with pytest.raises(SimulationEscape) as caught:
                    await opening()
                yield caught.value.detail.partition(": ")[0]

    async def all_of_them():
        return [place async for place in connect()]

    first = line_of(connect)
    assert {place.rpartition(":")[0] for place in run(all_of_them())} == {HERE}
    assert all(first < int(place.rpartition(":")[2]) < first + 12 for place in run(all_of_them()))


# Names that were bound before the world began.


class Cache:
    """A class that takes a clock, as an author's own key cache does."""

    timer = time.monotonic

    def __init__(self, clock=time.monotonic):
        self._clock = clock

    def age(self):
        return self._clock()


class Slotted:
    __slots__ = ("clock",)

    def __init__(self, clock):
        self.clock = clock


@dataclass
class Stamped:
    at: float = field(default_factory=time.time)


class Note(msgspec.Struct):
    at: bound_datetime


cache = Cache()
slotted = Slotted(time.time)
clocks = {"wall": time.time, "list": [time.time]}
held = (Cache(time.time),)
now = dt.datetime.now


def by_default(clock=time.time):
    return clock()


def by_keyword(*, clock=time.time):
    return clock()


@pytest.mark.parametrize(
    "early",
    [
        lambda: bound_time(),
        lambda: by_default(),
        lambda: by_keyword(),
        lambda: cache.age(),
        lambda: Cache().age(),
        lambda: Cache.timer(),
        lambda: slotted.clock(),
        lambda: clocks["wall"](),
        lambda: clocks["list"][0](),
        lambda: held[0].age(),
        lambda: Stamped(),
        lambda: now(),
    ],
)
def test_a_clock_that_was_bound_earlier_is_refused(early):
    with a_node(app_with(early)) as node, node(), pytest.raises(SimulationEscape, match="reads the real clock"):
        early()


def test_a_clock_in_a_closure_is_refused():
    clock = time.time
    assert refused(lambda: clock(), app_with(lambda: clock())).startswith("`time.time` reads the real clock")


def bindings():
    return [
        bound_time,
        now,
        slotted.clock,
        by_default.__defaults__,
        by_keyword.__kwdefaults__["clock"],
        vars(cache)["_clock"],
    ]


def test_every_place_that_was_replaced_is_put_back():
    before = bindings()
    with a_node(app_with(lambda: (cache, slotted, by_default, by_keyword))):
        assert all(bound != original for bound, original in zip(bindings(), before, strict=True))
    assert bindings() == before
    assert Cache.timer is time.monotonic


# Who is left alone.


def test_code_outside_a_node_is_left_alone():
    with a_node():
        assert time.time() > 0
        assert bound_datetime.now().year > 2000
        time.sleep(0)
        socket.socket().close()
        assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0


def test_proa_libraries_and_other_threads_are_left_alone():
    heard = []
    other = threading.Thread(target=lambda: heard.append(time.time()))
    with a_node() as node:
        other.start()
        with node():
            assert SystemClock().now() > 0
            assert msgspec.json.decode(b'{"at":"2024-01-01T00:00:00Z"}', type=Note).at.year == 2024
            assert uuid.UUID(int=0).int == 0
            import logging

            assert logging.makeLogRecord({}).created > 0
    other.join()
    assert len(heard) == 1


def test_a_real_type_stays_what_it_is():
    with a_node() as node, node():
        assert dt.datetime is bound_datetime
        assert type(bound_datetime.fromtimestamp(0, dt.UTC)) is bound_datetime


def test_nothing_is_left_replaced():
    before = [(swap.owner.__dict__[swap.name]) for swap in _SWAPS]
    with a_node(), a_node():
        assert all(swap.owner.__dict__[swap.name] is swap.guard for swap in _SWAPS)
    assert [(swap.owner.__dict__[swap.name]) for swap in _SWAPS] == before
    with pytest.raises(KeyError), a_node():
        raise KeyError
    assert [(swap.owner.__dict__[swap.name]) for swap in _SWAPS] == before


def test_an_inner_world_leaves_the_outer_one_guarded():
    with a_node() as outer:
        with a_node():
            pass
        with outer(), pytest.raises(SimulationEscape):
            time.time()


def test_a_guard_that_outlives_its_world_does_what_the_function_does():
    with a_node():
        kept = time.time
    assert abs(kept() - time.time()) < 60


def test_an_escape_that_the_author_swallowed_is_known_all_the_same():
    def swallow():
        for _ in range(3):
            with suppress(SimulationEscape):
                time.sleep(1)

    with a_node() as node, node():
        swallow()
    assert [escape.detail.rpartition("; ")[0] for escape in node.seen] == [
        f"{HERE}:{line_of(swallow) + 3}: sleeps in real time"
    ]


# What is drawn by lot.


def draws() -> list[Any]:
    return [
        random.random(),
        random.randint(0, 10**9),
        choice(range(10**6)),
        os.urandom(8),
        secrets.token_hex(8),
        secrets.randbelow(10**9),
        uuid.uuid4(),
        Random().random(),
        random.SystemRandom().random(),
    ]


def drawn(seed):
    with a_node(app_with(draws), seed=seed) as node, node():
        return draws()


def test_what_a_node_draws_follows_from_its_stream():
    assert drawn(1) == drawn(1)
    assert all(one != other for one, other in zip(drawn(1), drawn(2), strict=True))


def test_drawing_outside_a_node_is_as_random_as_ever():
    random.seed(5)
    expected = random.random()
    random.seed(5)
    with a_node() as node:
        with node():
            random.random()
        assert random.random() == expected
        assert os.urandom(8) != os.urandom(8)


def test_a_seed_given_by_the_author_is_heeded():
    with a_node() as node, node():
        assert Random(7).random() == Random(7).random()


def test_what_is_documented_as_not_caught():
    """A partial cannot be changed; whoever reads this because it is refused now may delete a line of the docs."""
    early = partial(time.time)
    with a_node(app_with(lambda: early())) as node, node():
        assert early() > 0


# In a world.


def shop():
    app = App("shop", regions=["eu-west-1", "us-east-1"], lease_s=2)

    @app.post("/clock")
    async def clock() -> float:
        return time.time()

    @app.post("/pool")
    def pool() -> None:
        threading.Thread(target=print).start()

    @app.post("/lot")
    async def lot() -> list[str]:
        return [str(each) for each in draws()]

    @app.get("/seams")
    async def seams(ctx: Context) -> list[float]:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(0.5)
        return [ctx.now(), asyncio.get_running_loop().time() - began, await asyncio.to_thread(lambda: 7)]

    return app


def visit(*requests):
    """What a region answers in a guarded world, and the escapes that were seen."""
    app = shop()

    async def course():
        async with World(app, seed=5) as world:
            streams = defaultdict(lambda: Random(11))
            with guarded(lambda: world.loop.current is not None, lambda: streams[world.loop.current], app) as seen:
                return [await world["eu-west-1"].request(method, path) for method, path in requests], seen

    return run(course())


def test_a_handler_is_refused_its_escapes_and_the_world_goes_on():
    replies, seen = visit(("POST", "/clock"), ("POST", "/pool"), ("GET", "/seams"))
    assert [reply.status for reply in replies] == [500, 500, 200]
    assert [reply.json()["code"] for reply in replies[:2]] == ["PROA-W002", "PROA-W002"]
    assert [reply.json()["detail"] for reply in replies[:2]] == [escape.detail for escape in seen]
    lines = [int(escape.detail.removeprefix(f"{HERE}:").partition(":")[0]) - line_of(shop) for escape in seen]
    assert lines == [5, 9]


def test_the_seams_work_in_a_world():
    ((reply,), seen) = visit(("GET", "/seams"))
    _, took_s, seven = reply.json()
    assert (round(took_s, 6), seven, seen) == (0.5, 7, [])


def test_a_handler_draws_the_same_in_the_same_world():
    assert visit(("POST", "/lot"))[0][0].body == visit(("POST", "/lot"))[0][0].body
