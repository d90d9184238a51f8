"""One idempotency key, one effect: however often a request is sent, and to whom, its state changes once.

Each operation with a key makes a row of its own that keeps the key. Two rows with one key are a doubled effect. A
regional key that two regions finished within the replication lag cannot be prevented, but must be detected: such a pair
of units stands in the list of duplicates. All answers under one key are equal, except where a second unit is listed or
the first one's commit was lost.

A row's unit is that of the commit which wrote it, so the author may number rows in any way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm, listed_twice, losses, numbers
from proa.simulation.history import Final, Operation, StoreState, Violation


def check(
    history: Sequence[Operation], final: Final, table: str, mode: Mode, *, key_of: Callable[[Any], str]
) -> list[Violation]:
    """What contradicts the effects in `table`. `key_of` reads the idempotency key that a row keeps."""
    attempts: dict[str, list[Operation]] = {}
    for one in history:
        if one.idempotency_key:
            attempts.setdefault(one.idempotency_key, []).append(one)
    outcomes = {one.idempotency_key: one.outcome for one in firm(history, final, mode) if one.idempotency_key}
    listed = listed_twice(final) if mode == "any" else {}
    violations = list(_unlike_answers(attempts, final, mode, listed))
    for store, rows in copies(final, table, mode).items():
        by_key: dict[str, list[str]] = {}
        for address, row in rows.items():
            by_key.setdefault(key_of(row), []).append(address)
        for key, addresses in by_key.items():
            if len(addresses) > 1 and not _units(final.regions.get(store), table, addresses) <= listed.get(key, set()):
                detail = f"{store} has {len(addresses)} rows under the key {key}"
                violations.append(Violation("effects", detail, numbers(attempts.get(key, ()))))
        violations += _unaccounted(store, by_key, outcomes, attempts)
    return violations


def _units(state: StoreState | None, table: str, addresses: Iterable[str]) -> set[str]:
    """The units that wrote these rows, as the duplicates list would name them; empty names where nobody knows."""
    units: set[str] = set()
    for address in addresses:
        row = state.rows.get((table, address)) if state else None
        commit = state.journal.get(row.dot) if state and row else None
        units.add(commit.outcome.unit if commit and commit.outcome else "")
    return units


def _unlike_answers(
    attempts: Mapping[str, Sequence[Operation]], final: Final, mode: Mode, listed: Mapping[str, set[str]]
) -> Iterable[Violation]:
    lost = losses(final, mode)
    for key, repeats in attempts.items():
        answered = [one for one in repeats if one.outcome == "ok" and not lost(one)]
        if key not in listed and any(one.result != answered[0].result for one in answered):
            yield Violation("effects", f"the key {key} was answered in different ways", numbers(answered))


def _unaccounted(
    store: str,
    by_key: Mapping[str, Sequence[str]],
    outcomes: Mapping[str, str],
    attempts: Mapping[str, Sequence[Operation]],
) -> Iterable[Violation]:
    """Effects that were acknowledged and are missing, or that are there without a request which may have made them."""
    for key, outcome in outcomes.items():
        if outcome == "ok" and key not in by_key:
            yield Violation(
                "effects", f"{store} lost the effect of {key}, which was acknowledged", numbers(attempts[key])
            )
        elif outcome == "failed" and key in by_key:
            yield Violation("effects", f"{store} has an effect of {key}, which failed", numbers(attempts[key]))
    for key in sorted(by_key.keys() - outcomes.keys()):
        yield Violation("effects", f"{store} has an effect under the key {key}, which no request had")
