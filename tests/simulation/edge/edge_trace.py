"""What the edge is put through, and what it did: the form of the scripts and of the traces.

A script says how each region behaves over time and which requests come when. A `Stand` behaves as it says, behind real
sockets while a trace is recorded, behind a function call while it is replayed.
"""

import asyncio
from pathlib import Path
from typing import Literal

import msgspec

from proa.core.roles import Assignment, Topology
from proa.core.route import RoutePolicy, RouteRule
from proa.edge.routes import NOT_STARTED

TRACES = Path(__file__).with_name("traces")
RULES = (
    RouteRule("GET", "/orders/{id}", "read", 2.0),
    RouteRule("POST", "/charges", "global", 2.0, keyed=True),
    RouteRule("POST", "/orders", "regional", 1.0, keyed=True),
)
KEY = {"idempotency-key": "k"}
KINDS = {
    "read": ("GET", "/orders/1", {}),
    "head": ("HEAD", "/orders/1", {}),
    "keyed": ("POST", "/charges", KEY),
    "unkeyed": ("POST", "/charges", {}),
    "regional": ("POST", "/orders", KEY),
    "undeclared": ("POST", "/elsewhere", KEY),
    "misspelled": ("GET", "/orders/a%2Fb", {}),
    "hidden": ("GET", "/_proa/live", {}),
}
CLASSES = ("read", "keyed", "unkeyed", "regional")
NUMBER = "x-request-id"


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a region behaves.

    `resets` closes the connection instead of answering; `paused` answers when it is up again; `dark` swallows all, new
    connections included, and loses its connections in the end; `gone` has lost them already and refuses new ones.
    """

    link: Literal["up", "resets", "paused", "dark", "gone"] = "up"
    status: int = 200
    not_started: bool = False
    delay_s: float = 0.0
    health: int = 200

    def reply(self, path: str) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to a request for `path`."""
        if is_check(path):
            return (self.health if path == "/_proa/health" else 200), {}
        return self.status, {NOT_STARTED: "true"} if self.not_started else {}


def is_check(path: str) -> bool:
    """Whether the edge itself asks."""
    return path.startswith("/_proa/")


class Moment(msgspec.Struct, frozen=True):
    """From `at_s` on, a region behaves like this."""

    at_s: float
    region: str
    state: State


class Turn(msgspec.Struct, frozen=True):
    """At `at_s` the agent learns of this assignment."""

    at_s: float
    assignment: Assignment


class Ask(msgspec.Struct, frozen=True):
    """At `at_s` a client sends a request of this kind (see `KINDS`)."""

    at_s: float
    kind: str


class Script(msgspec.Struct, frozen=True):
    """What happens, in seconds from its beginning.

    `eager` checks come often; without them health stays what it was. `drawn`: chance decides who
    is tried, so that only the shares compare.
    """

    name: str
    idea: str
    assignment: Assignment
    moments: tuple[Moment, ...]
    asks: tuple[Ask, ...]
    turns: tuple[Turn, ...] = ()
    eager: bool = True
    drawn: bool = False

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.assignment.roles)

    @property
    def topology(self) -> Topology:
        return self.assignment.topology

    @property
    def policy(self) -> RoutePolicy:
        return RoutePolicy(probe_every_s=0.2) if self.eager else RoutePolicy(probe_every_s=30.0, probe_timeout_s=5.0)


class Seen(msgspec.Struct, frozen=True):
    """What came of a request: the regions that its bytes went to, in turn; who answered (the edge itself: "")."""

    status: int
    tried: tuple[str, ...]
    by: str
    took_s: float


class Trace(msgspec.Struct, frozen=True):
    """A script and what was seen, request by request."""

    envoy: str
    script: Script
    seen: tuple[Seen, ...]


class Stand:
    """A region that behaves as it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State()
        self.life = 0
        self._changed = asyncio.Event()

    def become(self, state: State) -> None:
        """Behave differently from now on."""
        if state.link == "gone" or (self.state.link == "dark" and state.link != "dark"):
            self.life += 1
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def answer(self, *, check: bool) -> State:
        """The state that the answer follows from, once it is time for it. ConnectionResetError: there will be none."""
        life, loop = self.life, asyncio.get_running_loop()
        due = loop.time() + (0.0 if check else self.state.delay_s)
        while life == self.life:
            silent = self.state.link in ("paused", "dark")
            if not silent and loop.time() >= due:
                break
            await self.change(None if silent else due - loop.time())
        if life != self.life or (self.state.link == "resets" and not check):
            raise ConnectionResetError(self.name)
        return self.state

    async def change(self, within_s: float | None = None) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), within_s)
        except TimeoutError:
            return


class Player:
    """Performs a script on whatever stands for the edge; `tried` notes where the bytes of each request went."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.stands = {name: Stand(name) for name in script.regions}
        self.tried: dict[str, list[str]] = {str(number): [] for number in range(len(script.asks))}

    def become(self, moment: Moment) -> None:
        self.stands[moment.region].become(moment.state)

    def turn(self, assignment: Assignment) -> None:
        raise NotImplementedError

    async def send(self, kind: str, number: str) -> tuple[int, str]:
        """Send a request to the edge; the answer's status, and the region that gave it."""
        raise NotImplementedError

    async def play(self) -> tuple[Seen, ...]:
        """Perform the script from now on; what came of each request."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for moment in self.script.moments:
            loop.call_at(start + moment.at_s, self.become, moment)
        for turn in self.script.turns:
            loop.call_at(start + turn.at_s, self.turn, turn.assignment)
        numbered = enumerate(self.script.asks)
        seen = await asyncio.gather(*(self._ask(start + ask.at_s, ask.kind, str(n)) for n, ask in numbered))
        # A hedge may have reached its region after the client had its answer.
        return tuple(
            msgspec.structs.replace(each, tried=tuple(tried))
            for each, tried in zip(seen, self.tried.values(), strict=True)
        )

    async def _ask(self, at: float, kind: str, number: str) -> Seen:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at - loop.time())
        started = loop.time()
        status, by = await self.send(kind, number)
        return Seen(status, (), by, round(loop.time() - started, 3))
