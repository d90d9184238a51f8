"""Schedule-once: each due time of a schedule takes effect once, over fail-overs, partitions, crashes and wrong clocks.

The schedules act by themselves; clients only look which tick was the last. What is judged is what remains: of every
schedule its row, and the due times that were counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from proa.core.schedule import SEPARATOR, TICKS, Standing
from proa.errors import NodeFailed
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.scheduled import EVERY_S
from proa.simulation.workloads.standard import REGIONS
from proa.simulation.workloads.workload import PAUSE_S, TRIES, Workload, own, request

SHARED = ("beat", "latest", "skip", "moody", "strong")
EACH = "local"
UNDER_WAY_MAX = 3
EVERY = frozenset(("beat", "moody", "strong", "local"))
"""Those that catch up with every tick that was missed."""
_decode = msgspec.msgpack.Decoder(Standing).decode


class Ticks(Workload):
    """Looks at the last tick of a schedule, and the account of all of them."""

    def __init__(self) -> None:
        self._stuck: list[str] = []

    @property
    def name(self) -> str:
        return "schedule-once"

    async def act(self, client: Client, rng: Random) -> None:
        await client.ask(self._look(*rng.choice(_slots())))

    def _look(self, schedule: str, region: str) -> Call:
        return Call(self.name, "look", schedule + region, None, request("GET", f"/{schedule}/{region or '-'}"))

    async def finish(self, client: Client, final: Final) -> None:
        """Every schedule still runs, but those of a region that has no role."""
        for schedule, region in _slots():
            has_role = not region or final.control.roles.get(region) == "active"
            if has_role and not await self._goes_on(client, schedule, region):
                self._stuck.append(f"{schedule} {region}".strip())

    async def _goes_on(self, client: Client, schedule: str, region: str) -> bool:
        before = await self._seen(client, schedule, region)
        for _ in range(TRIES):
            if await self._seen(client, schedule, region) > before:
                return True
            await asyncio.sleep(PAUSE_S * 5)
        return False

    async def _seen(self, client: Client, schedule: str, region: str) -> float:
        for _ in range(TRIES):
            done = await client.ask(self._look(schedule, region))
            if done.outcome == "ok":
                return done.result["due"]
            await asyncio.sleep(PAUSE_S)
        raise NodeFailed(f"nobody tells of schedule {schedule}")

    def check(self, history: Sequence[Operation], final: Final) -> list[Violation]:  # noqa: ARG002 - it asks no client
        stuck = [
            Violation("schedule", f"schedule {name} ran no more after everything was healed") for name in self._stuck
        ]
        return [
            *stuck,
            *(found for slot in _slots() for region in final.regions for found in _wrong(final, region, *slot)),
        ]

    def collisions(self, history: Sequence[Operation]) -> int:
        """How often another region went on with a schedule."""
        last: dict[str, str] = {}
        count = 0
        for one in own(history, self.name):
            if one.outcome == "ok" and one.result["region"]:
                count += last.get(one.key, one.result["region"]) != one.result["region"]
                last[one.key] = one.result["region"]
        return count


def _slots() -> list[tuple[str, str]]:
    return [*((schedule, "") for schedule in SHARED), *((EACH, region) for region in REGIONS)]


def _wrong(final: Final, region: str, schedule: str, of: str) -> Iterator[Violation]:
    """What is wrong with a schedule as a region has it in the end."""
    where = f"schedule {schedule} {of}".rstrip() + f" in {region}"
    counted = {float(key.partition("/")[2]): times for key, times in _counted(final, region, schedule, of)}
    if doubled := sorted(due for due, times in counted.items() if times != 1):
        yield Violation("schedule", f"{where}: the tick of {doubled[0]:.3f} took effect {counted[doubled[0]]} times")
    row = final.regions[region].rows.get((TICKS, schedule + SEPARATOR + of))
    standing = _decode(row.value) if row and row.value else Standing(0)
    under_way = len(counted) - standing.fired if schedule == "strong" else 0  # another store may be a little ahead
    if len(counted) != standing.fired + min(max(0, under_way), UNDER_WAY_MAX):
        yield Violation("schedule", f"{where}: {standing.fired} ticks are ticked off, and {len(counted)} took effect")
    if schedule in EVERY and (missing := _missing(sorted(counted), standing)):
        yield Violation("schedule", f"{where}: the tick of {missing[0]:.3f} never took effect")


def _counted(final: Final, region: str, schedule: str, of: str) -> list[tuple[str, int]]:
    if schedule == "strong":
        rows: dict[str, Any] = final.strong("strong_ticks")
        return [(key, row.value) for key, row in rows.items()]
    rows = final.table(region, f"{schedule}_ticks")
    return [(key, row.count.value) for key, row in rows.items() if key.partition("/")[0] == of]


def _missing(dues: Sequence[float], standing: Standing) -> list[float]:
    """The due times in between that took no effect, of a schedule that gave none up."""
    if not dues or standing.failed or standing.skipped:
        return []
    every_ms = int(EVERY_S * 1000)
    known = {round(due * 1000) for due in dues}
    wanted = range(min(known), standing.due_ms + 1, every_ms)
    return [due_ms / 1000 for due_ms in wanted if due_ms not in known]
