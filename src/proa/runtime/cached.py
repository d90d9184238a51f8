"""The cache of a region's routes: kept answers in front of the invoker.

What a kept answer may still be used for is decided by `core.policy.cache`. Callers who want the same answer at the same
time share one run of the handler. A request that carries credentials or a session passes by: its answer is its own.
Purges wait for the commit of the unit that wants them (`Unit.after_commit`); then they go to every region (see
`Peers`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from proa.core.policy.cache import Cache, Kept, Purge
from proa.core.replicate.stamp import Versions
from proa.declare.handlers import Route
from proa.declare.http import Answer, Request
from proa.errors import LinkDown, LinkRefused, LinkTimeout
from proa.ports import Clock, Link, Method, Telemetry
from proa.runtime.answers import DEGRADED_HEADER
from proa.runtime.calls import AnswerKept, AnswersPurged, PurgeUnheard

Invoke = Callable[[Route, Request, Mapping[str, str], float | None], Awaitable[Answer]]
CACHE_HEADER = "proa-cache"
NOT_SHARED = frozenset({"no-store", "private"})
CREDENTIALS = ("authorization", "cookie", "proa-session")
CATCH_UP_S = 30.0


class Key(msgspec.Struct, frozen=True):
    """What a kept answer is for."""

    path: str
    query: str
    varied: tuple[str, ...]
    tags: tuple[str, ...]


class Peers(msgspec.Struct, frozen=True):
    """The other regions, as purges see them: they forget at once, and again when they have what was written."""

    names: list[str]
    link: Link
    cursors: Callable[[], Versions]
    catch_up: Callable[[Versions, float], Awaitable[bool]]


class RouteCache:
    """Answers of routes with a `cache`, kept in one region."""

    def __init__(
        self, invoke: Invoke, peers: Peers, clock: Clock, telemetry: Telemetry, credentials: Sequence[str] = CREDENTIALS
    ) -> None:
        self._invoke = invoke
        self._credentials = credentials
        self._peers = peers
        self._clock = clock
        self._telemetry = telemetry
        self._kept: dict[str, Kept[Answer]] = {}
        self._fetching: dict[Key, asyncio.Task[Answer]] = {}
        self._behind: set[asyncio.Task[Any]] = set()

    def stop(self) -> None:
        """End what goes on behind answers."""
        for task in (*self._behind, *self._fetching.values()):
            task.cancel()

    async def invoke(
        self, route: Route, request: Request, path: Mapping[str, str], passed_on_s: float | None = None
    ) -> Answer:
        """The answer to a request: a kept one, where there is one that will do. See `Invoker.invoke`."""
        if route.cache is None:
            return await self._invoke(route, request, path, passed_on_s)
        if any(name not in route.cache.vary for name in self._brought(request)):
            return await self._invoke(route, request, path, None)
        return await self._answer(route, route.cache, request, path)

    def _brought(self, request: Request) -> list[str]:
        """The headers of a request that say who asks: what they are answered is not for others."""
        return [name for name in self._credentials if name in request.headers]

    async def _answer(self, route: Route, cache: Cache, request: Request, path: Mapping[str, str]) -> Answer:
        varied = tuple(request.headers.get(name, "") for name in cache.vary)
        key = Key(request.path, request.query, varied, cache.tags)
        found = self._of(route).get(key, self._clock.monotonic())
        use = cache.judge(found[1]) if found else "gone"
        if found and use == "fresh":
            return self._given(route, found, "hit")
        fetching = self._fetch(route, key, request, path)
        if found and use == "revalidate":
            return self._given(route, found, "stale")
        answer = await asyncio.shield(fetching)
        if answer.status >= 500 and found and use == "if error":
            stale = self._given(route, found, "stale if error")
            return Answer(stale.status, [*stale.headers, (DEGRADED_HEADER, "cache")], stale.body)
        self._telemetry.emit(AnswerKept(route.scope, "miss"))
        return Answer(answer.status, [*answer.headers, (CACHE_HEADER, "miss")], answer.body)

    def _of(self, route: Route) -> Kept[Answer]:
        if route.scope not in self._kept:
            assert route.cache, "only such routes keep answers"
            self._kept[route.scope] = Kept(route.cache.size)
        return self._kept[route.scope]

    def _given(self, route: Route, found: tuple[Answer, float], how: str) -> Answer:
        answer, age_s = found
        self._telemetry.emit(AnswerKept(route.scope, how))
        told = [("age", str(int(age_s))), (CACHE_HEADER, how.partition(" ")[0])]
        return Answer(answer.status, [*answer.headers, *told], answer.body)

    # Fetching.

    def _fetch(self, route: Route, key: Key, request: Request, path: Mapping[str, str]) -> asyncio.Task[Answer]:
        """The one run of the handler for all who want this answer now."""
        if (running := self._fetching.get(key)) is not None:
            return running
        task = asyncio.get_running_loop().create_task(self._fetched(route, key, request, path))
        self._fetching[key] = task
        task.add_done_callback(lambda _: self._fetching.pop(key, None) if self._fetching.get(key) is task else None)
        return task

    async def _fetched(self, route: Route, key: Key, request: Request, path: Mapping[str, str]) -> Answer:
        assert route.cache, "only such routes keep answers"
        answer = await self._invoke(route, request, path, None)
        if answer.status == 200 and DEGRADED_HEADER not in dict(answer.headers):
            shared = self._told(route.cache, request, answer)
            if shared and self._fetching.get(key) is asyncio.current_task():  # nobody has purged it meanwhile
                self._of(route).put(key, answer, self._clock.monotonic())
        return answer

    def _told(self, cache: Cache, request: Request, answer: Answer) -> bool:
        """Tell caches on the way what this one does, unless the handler did; whether the answer may be kept at all."""
        own = dict(answer.headers).get("cache-control")
        if own is not None:
            return not NOT_SHARED.intersection(re.findall(r"[\w-]+", own.lower()))
        others = (name for name in self._credentials if name not in cache.vary)
        answer.headers.append(("cache-control", cache.control(private=bool(self._brought(request)))))
        answer.headers.append(("vary", ", ".join((*cache.vary, *others))))
        return True

    # Purging.

    def purge_everywhere(self, wanted: set[Purge]) -> None:
        """Forget these answers here at once, and elsewhere as soon as the other regions hear of it."""
        self.purge(wanted)
        self._later(self._spread(wanted))

    def purge(self, wanted: set[Purge]) -> int:
        """Forget these answers here, and what is being fetched of them; how many were kept."""

        def meant(key: object) -> bool:
            assert isinstance(key, Key)
            return any(each.means(key.path, key.tags) for each in wanted)

        for key in [key for key in self._fetching if meant(key)]:
            del self._fetching[key]
        count = sum(kept.purge(meant) for kept in self._kept.values())
        self._telemetry.emit(AnswersPurged(count))
        return count

    async def _spread(self, wanted: set[Purge]) -> None:
        told = {"purges": [(each.path, each.tag) for each in wanted], "cursors": self._peers.cursors()}
        await asyncio.gather(*(self._tell(name, told) for name in self._peers.names))

    async def _tell(self, name: str, told: Any) -> None:
        try:
            await self._peers.link.call(name, "cache.purge", told)
        except (LinkDown, LinkTimeout, LinkRefused):
            self._telemetry.emit(PurgeUnheard(name))

    def methods(self) -> dict[str, Method]:
        """The link methods that this cache serves."""
        return {"cache.purge": self._heard}

    async def _heard(self, _: str, payload: Any) -> None:
        wanted = {Purge(path, tag) for path, tag in payload["purges"]}
        self.purge(wanted)
        self._later(self._again(wanted, payload["cursors"]))

    async def _again(self, wanted: set[Purge], cursors: Versions) -> None:
        """What was fetched meanwhile may rest on what was there before the purge."""
        await self._peers.catch_up(cursors, CATCH_UP_S)
        self.purge(wanted)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)
