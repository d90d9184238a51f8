"""The network: every message takes its time, and may be cut, lost, delayed, doubled or overtaken.

A message is a callback at its destination, run as the process that lives there when it arrives; where none does, the
sender is refused after the way back. Between two nodes messages keep their order, as on a connection, unless reordering
is on. What is cut is swallowed: nobody hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol
from zlib import crc32

import msgspec

from proa.errors import LinkDown, LinkRefused, LinkTimeout, ProaError
from proa.ports import Method
from proa.runtime.link import error_of
from proa.simulation.loop import SimLoop
from proa.simulation.process import Life

JITTER = 0.2
LOCAL_S = 0.0003
STEP_S = 1e-6
FORWARDED = "invoke"
"""The call that hands a client's request on to another region."""
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode
Way = tuple[str, str]
Answer = asyncio.Future[Any]
Arrival = tuple[float, str, str, str, int]
"""A message that arrived: when, from where, to where, what it was, and its payload's checksum."""


class Host(Protocol):
    """A place that messages go to: whoever lives there now, if anybody."""

    name: str
    life: Life | None


class Lane(msgspec.Struct):
    """One way between two hosts: how long a message takes at least, and when the last one in order arrives."""

    way: Way
    delay_s: float = LOCAL_S
    last_at: float = 0.0


class Network:
    """Carries messages between hosts. `fired` is told of each fault that hit one; `traced` of each arrival."""

    def __init__(
        self,
        loop: SimLoop,
        rng: Random,
        fired: Callable[[str], None],
        traced: Callable[[Arrival], None],
    ) -> None:
        self.loop = loop
        self._rng = rng
        self._fired = fired
        self._traced = traced
        self.hosts: dict[str, Any] = {}
        self.lanes: dict[Way, Lane] = {}
        self.extra: dict[Way, float] = {}
        self.cut: dict[Way, str] = {}
        self.loss = 0.0
        self.duplicate = 0.0
        self.reorder = 0.0
        self.lost_replies: dict[str, float] = {}
        self.pulled_s: dict[str, float] = {}
        """When each region last served a pull whose reply arrived where there is room for it."""

    def send(
        self,
        source: str,
        target: str,
        what: str,
        payload: bytes,
        act: Callable[[Any], None],
        *,
        once: bool = False,
    ) -> None:
        """Carry one message; `act` is called with the target host at its arrival. One sent `once` is never doubled."""
        way = (source, target)
        rng = self._rng
        if self.loss and rng.random() < self.loss:
            self._fired("loss")
            return
        lane = self.lanes.get(way) or self.lanes.setdefault(way, Lane(way))
        if self.duplicate and not once and rng.random() < self.duplicate:
            self._fired("duplicate")
            self.loop.at(self._arrival(lane), self._arrive, lane.way, what, payload, act)
        self.loop.at(self._arrival(lane), self._arrive, lane.way, what, payload, act)

    def _arrival(self, lane: Lane) -> float:
        """When a message that leaves now comes to the end of its way."""
        rng = self._rng
        delay = lane.delay_s * (1 + JITTER * rng.random())
        if self.extra and lane.way in self.extra:
            self._fired("delay")
            delay += self.extra[lane.way] * (0.5 + rng.random())
        at = self.loop.now_s + delay
        if self.reorder and rng.random() < self.reorder:
            self._fired("reorder")
            return at + delay * 3 * rng.random()
        if at < lane.last_at + STEP_S:  # noqa: PLR1730 - it runs too often for a call
            at = lane.last_at + STEP_S
        lane.last_at = at
        return at

    def _arrive(self, way: Way, what: str, payload: bytes, act: Callable[[Any], None]) -> None:
        if self.cut and way in self.cut:
            self._fired(self.cut[way])
            return
        self._traced((self.loop.now_s, *way, what, crc32(payload)))
        act(self.hosts[way[1]])

    def cuts(self, a: str, b: str) -> bool:
        """Whether nothing passes between the two, in one direction at least."""
        return (a, b) in self.cut or (b, a) in self.cut

    def loses_reply(self, source: str) -> bool:
        """Whether this reply never leaves, though the call acted."""
        share = self.lost_replies.get(source)
        if share is None or self._rng.random() >= share:
            return False
        self._fired("lost reply")
        return True

    def stale_reply(self) -> None:
        """A reply came for a call that nobody waits for, perhaps of an earlier life."""
        self._fired("stale reply")


class SimLink:
    """`ports.Link` of one process over the network."""

    def __init__(self, network: Network, life: Life) -> None:
        self._network = network
        self._life = life
        self._loop = network.loop

    async def call(self, node: str, method: str, payload: Any, *, timeout_s: float = 1.0) -> Any:
        self._life.port()
        answer: Answer = self._loop.create_future()
        self._loop.limit(answer, timeout_s, lambda: _late(node, method, timeout_s))
        self._send(node, method, payload, timeout_s, answer)
        try:
            return await answer
        finally:
            self._life.port()

    def _send(self, node: str, method: str, payload: Any, timeout_s: float, answer: Answer) -> None:
        me, data = self._life.name, payload if payload.__class__ is bytes else _encode(payload)

        def arrive(host: Any) -> None:
            life = host.life
            if life is None or life.methods is None:
                self._reply(node, answer, None, LinkDown(f"cannot connect to {node}"))
            else:
                copy = payload if payload.__class__ is bytes else _decode(data)
                self._loop.begin(self._serve(life, method, copy, timeout_s, answer), life)

        # A client's request is handed on over one connection, which delivers it once; no call of it is a repeat.
        self._network.send(me, node, method, data, arrive, once=method == FORWARDED)

    async def _serve(self, life: Any, method: str, payload: Any, deadline_s: float, answer: Answer) -> None:
        """The answering end, in the process that was asked."""
        loop = self._loop
        asked_s = loop.now_s
        try:
            value = await _method(life, method)(self._life.name, payload)
        except ProaError as error:
            self._reply(life.name, answer, None, error_of(life.name, [error.code, error.detail]))
        except Exception as error:  # noqa: BLE001 - a defect here must not take the node down
            self._reply(life.name, answer, None, LinkRefused(f"{life.name} failed in {method}: {error!r}"))
        else:
            if loop.now_s - asked_s <= deadline_s:  # else the caller has given up
                self._reply(life.name, answer, value, None, loop.now_s if method == "pull" else None)

    def _reply(
        self, source: str, answer: Answer, value: Any, error: ProaError | None, pulled_s: float | None = None
    ) -> None:
        network, caller = self._network, self._life
        if network.lost_replies and network.loses_reply(source):
            return
        data = value if value.__class__ is bytes else _encode(value)

        def arrive(host: Any) -> None:
            if host.life is not caller or answer.done():
                network.stale_reply()  # of a call that nobody waits for, perhaps of an earlier life
                return
            if pulled_s is not None and not host.disk.full:  # else it has no room for what came
                network.pulled_s[source] = pulled_s
            if error is None:
                answer.set_result(value if value.__class__ is bytes else _decode(data))
            else:
                answer.set_exception(error)

        network.send(source, caller.name, "reply", data, arrive)


def settle(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    """Give whoever waits what came; a second copy changes nothing."""
    if not future.done():
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _late(node: str, method: str, timeout_s: float) -> LinkTimeout:
    return LinkTimeout(f"{node} did not answer {method} within {timeout_s:g} s")


def _method(life: Any, name: str) -> Method:
    methods: Mapping[str, Method] = life.methods
    if name not in methods:
        raise LinkRefused(f"{life.name} serves no method {name!r}")
    return methods[name]
