"""The observer: this node's eyes. It probes every other region on its own address and keeps one opinion of each.

It looks seldom at a region that is well, and often from the first sample that says otherwise.
It only samples and smooths (`core.health`); what it thinks goes out with the node's next beat, at once when it changed.
That a region which was not seen before is well is no change: nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from proa.control.parts import Parts
from proa.core.health import Track, is_news, observe, pause_s
from proa.core.roles import Observation


class Probe(Protocol):
    """One look at a region; it never raises and never takes much longer than its time-out."""

    def __call__(self, region: str, /) -> Awaitable[Observation]: ...


class Observer:
    """Probes every region but `me`. `seen()` is what to publish; `changed` is called when an opinion changed."""

    def __init__(self, me: str, probe: Probe, parts: Parts, changed: Callable[[], None]) -> None:
        self._probe = probe
        self._parts = parts
        self._changed = changed
        self._policy = parts.rules.health
        self._tracks = {region: Track() for region in parts.rules.regions if region != me}

    def seen(self) -> dict[str, Observation]:
        """The present opinions; a region of which there is none yet is absent."""
        return {region: track.reported for region, track in self._tracks.items() if track.reported}

    async def run(self) -> None:
        """Observe for ever."""
        async with asyncio.TaskGroup() as group:
            for region in self._tracks:
                group.create_task(self._watch(region))

    async def sample(self, region: str) -> None:
        """Probe a region once and think about it."""
        before = self._tracks[region]
        track = observe(before, await self._probe(region), self._policy)
        if track is before:
            return
        self._tracks[region] = track
        if is_news(before, track):
            self._changed()

    async def _watch(self, region: str) -> None:
        clock, policy = self._parts.clock, self._policy
        await clock.sleep(policy.interval_s * self._parts.entropy.random())  # observers do not knock all at once
        while True:
            started = clock.monotonic()
            await self.sample(region)
            wait_s = pause_s(self._tracks[region], policy)
            await clock.sleep(max(wait_s / 10, started + wait_s - clock.monotonic()))
