"""Money is moved, never made: every complete view of the accounts has the same total, and no account is overdrawn.

Actions: `transfer` (argument: from, to, amount; `ok` only if it was moved) and `read` (result: all balances, by
account). In the end the balances are the opening ones with every acknowledged transfer counted once, and with some of
those counted whose fate is unknown.

Source: the `bank` workload of Jepsen. Whether some of the unknown transfers explain the balances is a subset sum, found
by collecting what the subsets add up to, within a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from proa.declare.tables import Mode
from proa.simulation.checkers.evidence import copies, firm, numbers
from proa.simulation.history import Final, Operation, Violation

SUMS_MAX = 4096
"""How many sums of unknown transfers are looked at; beyond that the balances get the benefit of the doubt."""
Balances = Mapping[str, int]


def check(
    history: Sequence[Operation],
    final: Final,
    table: str,
    mode: Mode,
    *,
    opening: Balances,
    balance_of: Callable[[Any], int],
) -> list[Violation]:
    """What contradicts the accounts in `table`, which began as `opening`. `balance_of` reads a row."""
    operations = firm(history, final, mode)
    violations: list[Violation] = []
    for read in operations:
        if read.action == "read" and read.outcome == "ok":
            wrong = _wrong(read.result, opening)
            violations += [Violation("bank", f"read {read.number} saw {what}", (read.number,)) for what in wrong]
    transfers = [one for one in operations if one.action == "transfer"]
    for store, rows in copies(final, table, mode).items():
        balances = {account: balance_of(row) for account, row in rows.items()}
        violations += [Violation("bank", f"{store} holds {what}") for what in _wrong(balances, opening)]
        violations += _miscounted(store, balances, opening, transfers)
    return violations


def _wrong(balances: Balances, opening: Balances) -> Iterable[str]:
    """What no view of the accounts may show."""
    total, expected = sum(balances.values()), sum(opening.values())
    if total != expected:
        yield f"a total of {total}, not {expected}"
    if overdrawn := sorted(account for account, balance in balances.items() if balance < 0):
        yield f"a negative balance of {', '.join(overdrawn)}"
    if balances.keys() != opening.keys():
        yield f"other accounts than were opened: {', '.join(sorted(balances.keys() ^ opening.keys()))}"


def _miscounted(
    store: str, balances: Balances, opening: Balances, transfers: Sequence[Operation]
) -> Iterable[Violation]:
    accounts = sorted(opening)
    gap = [balances.get(account, 0) - opening[account] for account in accounts]
    for transfer in transfers:
        if transfer.outcome == "ok":
            gap = [left - moved for left, moved in zip(gap, _moved(transfer, accounts), strict=True)]
    unknown = [_moved(transfer, accounts) for transfer in transfers if transfer.outcome == "unknown"]
    if not _is_sum(tuple(gap), unknown):
        off = {account: left for account, left in zip(accounts, gap, strict=True) if left}
        involved = [one for one in transfers if one.outcome != "failed" and off.keys() & set(one.argument[:2])]
        detail = f"{store} counts the transfers of {', '.join(off)} other than once: off by {[*off.values()]}"
        yield Violation("bank", detail, numbers(involved))


def _moved(transfer: Operation, accounts: Sequence[str]) -> tuple[int, ...]:
    """What a transfer adds to each account."""
    source, target, amount = transfer.argument
    return tuple(amount * ((account == target) - (account == source)) for account in accounts)


def _is_sum(gap: tuple[int, ...], moves: Sequence[tuple[int, ...]]) -> bool:
    """Whether some of `moves` add up to `gap`; True also where that is too much work to tell."""
    sums = {tuple(0 for _ in gap)}
    for move in moves:
        if gap in sums or len(sums) > SUMS_MAX:
            return True
        sums |= {tuple(map(int.__add__, one, move)) for one in sums}
    return gap in sums
