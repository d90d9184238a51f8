"""Sets lose nothing and invent nothing: what was acknowledged is there, and what is there was asked for.

Each element is a row of its own. Actions: `add` (argument: the element, which is the row's key; each is added once) and
`read` (result: the elements). Where reads are linearizable an element that was there before a read began (because its
add had been acknowledged, or another read had seen it) is in its result.

Source: the `set-full` workload of Jepsen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm, numbers
from proa.simulation.history import Final, Operation, Violation

Adds = dict[str, Operation]


def check(history: Sequence[Operation], final: Final, table: str, mode: Mode, *, linearizable: bool) -> list[Violation]:
    """What contradicts the set in `table`. `linearizable`: no read may miss what was there before it began."""
    operations = firm(history, final, mode)
    adds = {one.argument: one for one in operations if one.action == "add"}
    reads = [one for one in operations if one.action == "read" and one.outcome == "ok"]
    violations = [found for store, rows in copies(final, table, mode).items() for found in _at_rest(store, rows, adds)]
    violations += [found for read in reads for found in _from_nowhere(read, adds)]
    return violations + (_missed(reads, adds) if linearizable else [])


def _at_rest(store: str, rows: Iterable[str], adds: Adds) -> Iterable[Violation]:
    present = set(rows)
    if lost := [add for element, add in adds.items() if add.outcome == "ok" and element not in present]:
        yield Violation("set", f"{store} lost {_named(lost)}, which were acknowledged", numbers(lost))
    if failed := [add for element, add in adds.items() if add.outcome == "failed" and element in present]:
        yield Violation("set", f"{store} holds {_named(failed)}, whose adds failed", numbers(failed))
    if strange := sorted(present - adds.keys()):
        yield Violation("set", f"{store} holds {', '.join(strange)}, which nobody added")


def _from_nowhere(read: Operation, adds: Adds) -> Iterable[Violation]:
    """What a read saw although its add failed, or began only after the read had ended, or never was."""
    for element in read.result:
        add = adds.get(element)
        if add is None:
            yield Violation("set", f"read {read.number} saw {element}, which nobody added", (read.number,))
        elif add.outcome == "failed" or add.began > read.ended:
            why = "whose add failed" if add.outcome == "failed" else "before it was added"
            yield Violation("set", f"read {read.number} saw {element}, {why}", numbers([read, add]))


def _missed(reads: Sequence[Operation], adds: Adds) -> list[Violation]:
    """Reads without an element that was known to be there before they began."""
    known = {element: add for element, add in adds.items() if add.outcome == "ok"}
    for read in sorted(reads, key=lambda read: read.ended):
        for element in read.result:
            if element not in known or read.ended < known[element].ended:
                known[element] = read
    violations: list[Violation] = []
    for read in reads:
        seen = set(read.result)
        for element, witness in known.items():
            if witness.ended < read.began and element not in seen:
                detail = f"read {read.number} missed {element}, which was there since operation {witness.number}"
                violations.append(Violation("set", detail, numbers([read, witness])))
    return violations


def _named(adds: Sequence[Operation]) -> str:
    return ", ".join(str(add.argument) for add in adds)
