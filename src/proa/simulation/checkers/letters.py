"""Letters: every one that is sent takes effect once or is given up once, and nothing else does.

Whether a letter was sent is said by a row of the unit that sent it, so where that commit is lost, so is the letter.
What it did is a row for each unit that delivered it. In the end no message may be left anywhere. Of two letters of one
group and home of which the first was acknowledged before the second was asked for, the first is delivered first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec

from proa.core.queue import DEAD, MESSAGES, OUTBOX, Dead, spot
from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm
from proa.simulation.history import Final, Operation, StoreState, Violation

_decode_dead = msgspec.msgpack.Decoder(Dead).decode


def check(final: Final, kind: str, mode: Mode) -> list[Violation]:
    """What contradicts the deliveries of one kind of letters, in every region."""
    violations: list[Violation] = []
    senders = copies(final, f"{kind}_sent", mode)
    for region, state in sorted(final.regions.items()):
        sent = {row.id for row in senders.get(region, senders.get("global", {})).values()}
        delivered = _delivered(final.table(region, f"{kind}_deliveries"))
        dead = _dead(state, f"{kind}_letters")
        violations += _judged(region, sent, delivered, dead)
        violations += _left(region, state, MESSAGES, f"{kind}_letters")
    return violations + _left("global", final.global_store, OUTBOX, f"{kind}_letters")


def _delivered(rows: Mapping[str, Any]) -> dict[str, list[str]]:
    """The units that delivered each message."""
    units: dict[str, list[str]] = {}
    for row in rows.values():
        units.setdefault(row.message, []).append(row.id)
    return units


def _dead(state: StoreState, queue: str) -> dict[str, int]:
    """How often each message was given up."""
    found: dict[str, int] = {}
    for (table, _), row in state.rows.items():
        if table == DEAD and row.value is not None and spot((dead := _decode_dead(row.value)).key).queue == queue:
            found[dead.envelope.id] = found.get(dead.envelope.id, 0) + 1
    return found


def _judged(
    region: str, sent: set[str], delivered: Mapping[str, Sequence[str]], dead: Mapping[str, int]
) -> Iterator[Violation]:
    for message in sorted(sent | delivered.keys() | dead.keys()):
        times = len(delivered.get(message, ())) + dead.get(message, 0)
        if message not in sent:
            yield Violation("letters", f"{region} delivered {message}, which nobody sent")
        elif times == 0:
            yield Violation("letters", f"{region} lost {message}: it was sent, and nothing came of it")
        elif times > 1:
            units = ", ".join(delivered.get(message, ())) or "nobody"
            yield Violation("letters", f"{message} took effect {times} times in {region}, by {units}")


def _left(store: str, state: StoreState, table: str, queue: str) -> list[Violation]:
    left = [
        key
        for (name, key), row in state.rows.items()
        if name == table and row.value and row.expires_at is None and f"{queue}\x1f" in key
    ]
    return [Violation("letters", f"{store} still has {len(left)} messages of {queue}")] if left else []


def check_order(sent: Sequence[Operation], final: Final, mode: Mode, table: str) -> list[Violation]:
    """Letters of a group that overtook one another. What a fail-over set aside may be delivered again, and so later."""
    if final.lost_disks or any(state.parked for state in final.regions.values()):
        return []
    violations: list[Violation] = []
    for region in sorted(final.regions):
        rows = {row.message: row for row in final.table(region, table).values()}
        acknowledged = [one for one in firm(sent, final, mode) if one.outcome == "ok" and one.result["id"] in rows]
        for first, second in combinations(sorted(acknowledged, key=lambda one: one.began), 2):
            one, other = rows[first.result["id"]], rows[second.result["id"]]
            same = (one.group, one.home) == (other.group, other.home)
            if same and first.ended < second.began and one.place > other.place:
                detail = f"{region} delivered {other.message} of group {one.group} before {one.message}, sent before it"
                violations.append(Violation("order of letters", detail, (first.number, second.number)))
    return violations
