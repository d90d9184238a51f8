"""Regions as Envoy sees them: which are well, which of them gets the next attempt, what came of it.

A cluster holds the regions of the present plan and watches each with one kind of check. Requests steer by what the
checks and the failures of other requests have found, never by the truth, which only `dial` meets.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Literal

from proa.core.route import RoutingPlan
from proa.declare.http import Request
from proa.edge.routes import RETRY_DRAWS, Json
from proa.runtime.eager import within
from proa.simulation.client import Reply

Dial = Callable[[str, Request], Coroutine[Any, Any, Reply]]
"""Send a request to a region's own address. ConnectionRefusedError: nothing was sent. Another ConnectionError: it was
sent and the connection is lost. Where packets are swallowed it never returns; whoever dials gives up by himself."""
Loss = Literal["connect-failure", "reset"]
"""An attempt without an answer, by the name of the retry condition that it meets."""

_NEVER = float("inf")
_PICKS = 1 + RETRY_DRAWS
"""How often a retry draws until it meets a region that was not tried yet."""


def seconds_of(duration: str) -> float:
    """A duration as protobuf's JSON has it."""
    return float(duration.removesuffix("s"))


class Host:
    """One region in one cluster: its health, what it is busy with, the connections that are open and idle."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.priority = 0
        self.weight = 1
        self.active = 0
        self.checked = False
        self.sick = True
        self.streak = 0
        self.failures = 0
        self.ejected_until = 0.0
        self.ejections = 0
        self.idle: list[float] = []
        self.connects_until = 0.0
        self.watch: asyncio.Task[None] | None = None

    def well(self, now: float) -> bool:
        """Whether it gets requests that others might have too."""
        return not self.sick and now >= self.ejected_until

    def take_connection(self, now: float) -> bool:
        """Take the connection used last; False if all were closed for idleness."""
        while self.idle:
            if self.idle.pop() > now:
                return True
        return False


class Layer:
    """The hosts of one priority that share its requests, by Envoy's LEAST_REQUEST.

    With equal weights it is the less busy of two drawn at random. Else the one that is due first: each pick puts a host
    off in inverse proportion to its weight, and further the busier it is.
    """

    def __init__(self, hosts: list[Host], rng: Random) -> None:
        self.hosts = hosts
        self._rng = rng
        equal = len({host.weight for host in hosts}) == 1
        self._due = [] if equal else [rng.random() / host.weight for host in hosts]

    def pick(self) -> Host:
        """The host for the next attempt."""
        if len(self.hosts) == 1:
            return self.hosts[0]
        if not self._due:
            a, b = self._rng.choice(self.hosts), self._rng.choice(self.hosts)
            return b if b.active < a.active else a
        at = min(range(len(self.hosts)), key=self._due.__getitem__)
        host = self.hosts[at]
        self._due[at] += (host.active + 1) / host.weight
        return host


class Cluster:
    """The regions of a plan under one kind of check, as Envoy's `document` configures it."""

    def __init__(self, document: Json, dial: Dial, silent: Callable[[str], bool], rng: Random) -> None:
        check, outliers = document["health_checks"][0], document["outlier_detection"]
        budget = document["circuit_breakers"]["thresholds"][0]["retry_budget"]
        self._dial = dial
        self._silent = silent
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._connect_s = seconds_of(document["connect_timeout"])
        self._idle_s = _idle_s(document)
        self._check = Request("GET", check["http_health_check"]["path"], "", {}, b"")
        self._check_every_s, self._check_timeout_s = seconds_of(check["interval"]), seconds_of(check["timeout"])
        self._doubted_every_s = seconds_of(check["unhealthy_interval"])
        self._pass_after: int = check["healthy_threshold"]
        self._fail_after: int = check["unhealthy_threshold"]
        self._eject_after: int = outliers["consecutive_local_origin_failure"]
        self._eject_percent: int = outliers["max_ejection_percent"]
        self._eject_s = seconds_of(outliers["base_ejection_time"])
        self._eject_s_max = seconds_of(outliers["max_ejection_time"])
        self._eject_tick_s = seconds_of(outliers["interval"])
        self._retry_floor: int = budget["min_retry_concurrency"]
        self._retry_share: float = budget["budget_percent"]["value"] / 100
        self._hosts: dict[str, Host] = {}
        self._well: list[Layer] = []
        self._all: list[Layer] = []
        self._changes_at = _NEVER
        self.active = 0
        self.retrying = 0

    # Who is there.

    def take(self, plan: RoutingPlan) -> None:
        """Route by this plan. Regions that stay keep their health; a new one gets nothing until its first check."""
        old, self._hosts = self._hosts, {}
        for target in plan.targets:
            host = self._hosts[target.region] = old.pop(target.region, None) or self._watched(Host(target.region))
            host.priority, host.weight = target.priority, target.weight
        for host in old.values():
            host.priority = -1
            if host.watch:
                host.watch.cancel()
        self._arrange()

    def healthy(self, region: str) -> bool:
        """Whether the region is in the plan, and neither its checks nor its connections fail."""
        host = self._hosts.get(region)
        return host is not None and host.well(self._loop.time())

    def _arrange(self) -> None:
        """Sort the hosts into layers, after any of them changed."""
        now, hosts = self._loop.time(), list(self._hosts.values())
        self._all = self._layers(hosts)
        self._well = self._layers([host for host in hosts if host.well(now)])
        self._changes_at = min((host.ejected_until for host in hosts if host.ejected_until > now), default=_NEVER)

    def _layers(self, hosts: list[Host]) -> list[Layer]:
        priorities = sorted({host.priority for host in hosts})
        return [Layer([host for host in hosts if host.priority == priority], self._rng) for priority in priorities]

    # Who gets the next attempt.

    def choose(self, tried: Host | None = None) -> Host | None:
        """The host for an attempt, after `tried` another one if any is well; None if the plan has nobody."""
        if self._loop.time() >= self._changes_at:
            self._arrange()
        if not self._hosts:
            return None
        if tried is None:
            return self._layer(tried).pick()
        picks = (self._layer(tried).pick() for _ in range(_PICKS))
        return next((host for host in picks if host.region != tried.region), tried)

    def _layer(self, tried: Host | None) -> Layer:
        """The first layer with a host that is well, one that was not tried before others; with none well, any."""
        if not self._well:  # Envoy's panic: as if all were well and of one priority
            hosts = [layer for layer in self._all for _ in layer.hosts]
            return self._rng.choice(hosts)
        if tried is not None:
            return next((layer for layer in self._well if layer.hosts[0].priority != tried.priority), self._well[0])
        return self._well[0]

    def may_retry(self) -> bool:
        """Whether the retry budget allows one more at this moment."""
        return self.retrying < max(self._retry_floor, self._retry_share * self.active)

    # What comes of it.

    async def attempt(self, host: Host, request: Request, *, retry: bool = False) -> Reply | Loss:
        """One attempt at one region, without a time-out of its own."""
        streak = host.failures
        self.active += 1
        self.retrying += retry
        try:
            reply = await self._sent(host, request)
        except ConnectionRefusedError:
            host.idle.clear()
            host.failures = streak
            self.failed(host)
            return "connect-failure"
        except ConnectionError:
            self.failed(host)
            return "reset"
        finally:
            self.active -= 1
            self.retrying -= retry
        host.idle.append(self._loop.time() + self._idle_s)
        return reply

    async def _sent(self, host: Host, request: Request) -> Reply:
        if not host.take_connection(self._loop.time()) and self._silent(host.region):
            await self._gave_up_connecting(host)
        host.failures = 0  # being connected is what ends a streak of failures, not being answered
        host.active += 1
        try:
            return await self._dial(host.region, request)
        finally:
            host.active -= 1

    async def _gave_up_connecting(self, host: Host) -> None:
        """Wait for the connection's time-out; with it Envoy fails all who came to wait for a connection meanwhile."""
        now = self._loop.time()
        if host.connects_until <= now:
            host.connects_until = now + self._connect_s
        await asyncio.sleep(host.connects_until - now)
        raise ConnectionRefusedError(f"{host.region} cannot be connected to")

    def failed(self, host: Host) -> None:
        """Note a lost connection or a time-out; the last of a streak ejects the host for a while."""
        host.failures += 1
        if host.failures == self._eject_after:
            host.failures = 0
            self._eject(host)

    def _eject(self, host: Host) -> None:
        now = self._loop.time()
        ejected = sum(each.ejected_until > now for each in self._hosts.values())
        room = 100 * (ejected + 1) <= self._eject_percent * len(self._hosts)
        if host.ejected_until > now or not room:
            return
        forgiven = int((now - host.ejected_until) / self._eject_tick_s)
        host.ejections = max(0, host.ejections - forgiven) + 1
        until = now + min(self._eject_s * host.ejections, self._eject_s_max)
        host.ejected_until = math.ceil(until / self._eject_tick_s) * self._eject_tick_s
        self._arrange()

    # Checks.

    def _watched(self, host: Host) -> Host:
        host.watch = self._loop.create_task(self._watch(host))
        return host

    async def _watch(self, host: Host) -> None:
        while True:
            self._judge(host, await self._checked(host.region))
            await asyncio.sleep(self._doubted_every_s if host.sick or host.streak else self._check_every_s)

    async def _checked(self, region: str) -> int:
        """The status with which the region says how it is; 0 where it says nothing."""
        try:
            return (await within(lambda: self._check_timeout_s, self._dial(region, self._check))).status
        except OSError:
            return 0

    def _judge(self, host: Host, status: int) -> None:
        """Silence must repeat itself to condemn, health to acquit; a bad answer and a good first one count at once."""
        good, at_once = status == 200, status not in (0, 200) or not host.checked
        host.checked = True
        if good != host.sick:
            host.streak = 0
        else:
            host.streak += 1
            if at_once or host.streak >= (self._pass_after if good else self._fail_after):
                host.sick, host.streak = not good, 0
                self._arrange()
        if good and not host.sick and host.ejected_until > self._loop.time():
            host.ejected_until = self._loop.time()
            self._arrange()


def _idle_s(document: Json) -> float:
    (options,) = document["typed_extension_protocol_options"].values()
    return seconds_of(options["common_http_protocol_options"]["idle_timeout"])
