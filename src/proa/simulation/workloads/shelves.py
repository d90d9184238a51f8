"""Shelves: items that move are found by the index where they are, and nowhere else.

A page shows rows of its shelf alone, in order, none of them twice and none that has expired. Where a row has one value
at a time, a reading that commits finds what was placed there before and not moved since, and nothing that was moved
away. What every region placed is counted in a merged row, each placing once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from proa.simulation.checkers.evidence import firm
from proa.simulation.client import Call, Client
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads.workload import Standard, request

SHELVES = ("high", "low")
ITEMS = 6
PLACES = 4
READ = 0.35
BRIEF = 0.2
"""So many of the items are there for a while only."""
LASTS_S = (0.5, 5.0)
COUNTED = "any_placings"


class Shelves(Standard):
    """Places few items on two shelves, again and again, and reads a shelf page by page."""

    kind = "shelves"

    async def act(self, client: Client, rng: Random) -> None:
        shelf = rng.choice(SHELVES)
        await (self._read(client, shelf) if rng.random() < READ else self._place(client, rng, shelf))

    async def _read(self, client: Client, shelf: str) -> None:
        asked = request("POST", f"/{self.mode}/shelves/{shelf}/read", key=client.new_key())
        await client.ask(Call(self.name, "read", shelf, None, asked))

    async def _place(self, client: Client, rng: Random, shelf: str) -> None:
        item, place = str(rng.randrange(ITEMS)), rng.randrange(PLACES)
        lasts_s = rng.uniform(*LASTS_S) if rng.random() < BRIEF else None
        body = {"shelf": shelf, "place": place, "lasts_s": lasts_s}
        asked = request("POST", f"/{self.mode}/items/{item}", body, client.new_key())
        await client.ask(Call(self.name, "place", item, body, asked))

    def judged(self, attempts: Sequence[Operation], final: Final) -> list[Violation]:
        operations = firm(attempts, final, self.mode)
        reads = [one for one in operations if one.action == "read" and one.outcome == "ok"]
        violations = [found for read in reads for found in _unlike_a_shelf(read)]
        if self.mode == "any":
            return [*violations, *_miscounted(final)]
        placings = [one for one in operations if one.action == "place" and one.outcome != "failed"]
        return [*violations, *(found for read in reads for found in _misplaced(read, placings))]


def _unlike_a_shelf(read: Operation) -> Iterator[Violation]:
    """What no reading of a shelf can be, whatever was placed."""
    items = read.result["items"]
    order = [(item["place"], item["id"]) for item in items]
    if order != sorted(order):
        yield _of(read, "is out of order")
    if len({item["id"] for item in items}) < len(items):
        yield _of(read, "found an item twice")
    if any(item["shelf"] != read.key for item in items):
        yield _of(read, "found an item of another shelf")
    if any(item["until"] is not None and item["until"] <= read.result["at"] for item in items):
        yield _of(read, "found an item that had expired")


def _misplaced(read: Operation, placings: Sequence[Operation]) -> Iterator[Violation]:
    """Items that the reading missed, or found where they were no more."""
    found = {item["id"]: item["place"] for item in read.result["items"]}
    for item in sorted({placing.key for placing in placings}):
        last = _last_before(read, [placing for placing in placings if placing.key == item])
        here = [placing.argument for placing in last if placing.argument["shelf"] == read.key]
        if last and not here and item in found:
            yield _of(read, f"found item {item}, which had been moved away", *last)
        if last and len(here) == len(last) and not _allowed(found.get(item), here):
            yield _of(read, f"did not find item {item} as it had been placed", *last)


def _last_before(read: Operation, placings: Sequence[Operation]) -> list[Operation]:
    """The placings of one item that may be its last before a reading; none where others may have come in between."""
    before = [placing for placing in placings if placing.outcome == "ok" and placing.ended < read.began]
    if any(placing not in before and placing.began <= read.ended for placing in placings):
        return []
    return [one for one in before if not any(other.began > one.ended for other in before)]


def _allowed(place: int | None, placings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an item may have been found at this place (None: not found) after one of these placings."""
    if place is None:
        return any(placing["lasts_s"] is not None for placing in placings)
    return any(placing["place"] == place for placing in placings)


def _miscounted(final: Final) -> Iterator[Violation]:
    """Counters that differ from how many commits counted."""
    for region in sorted(final.regions):
        state = final.regions[region]
        parked = {(commit.origin, commit.seq) for commit in state.parked}
        counted = [
            write.key
            for dot, commit in state.journal.items()
            for write in commit.writes
            if write.table == COUNTED and dot not in parked
        ]
        for shelf, row in final.table(region, COUNTED).items():
            if int(row.count) != counted.count(shelf):
                detail = f"{region} counts {int(row.count)} placings on {shelf}; {counted.count(shelf)} were committed"
                yield Violation("counter", detail)


def _of(read: Operation, what: str, *others: Operation) -> Violation:
    return Violation("index", f"read {read.number} {what}", (*(one.number for one in others), read.number))
