"""Histories and final states for the checkers' tests, written by hand."""

from types import SimpleNamespace

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, Row, Write
from proa.core.replicate.merge import LastWriter, resolve
from proa.core.replicate.stamp import join
from proa.simulation.history import NEVER, Final, Operation, StoreState

LATE = 1e12
"""An expiry that no clock reaches."""


def op(number, action, argument=None, result=None, at=(0, 1), key="x", outcome="ok", **more):
    """An operation; without an answer its end is never."""
    began, ended = at
    ended = NEVER if outcome == "unknown" else ended
    return Operation(number, "c", "w", action, key, argument, outcome, result, began, ended, **more)


def store(tables=None, **more):
    """A store that holds `tables`: name -> key -> what the row decodes to."""
    decoded = {(table, key): value for table, rows in (tables or {}).items() for key, value in rows.items()}
    rows = {(table, key): Row(table, key, b"v", 1, "eu/1", 1, {"eu/1": 1}, 1) for table, key in decoded}
    return StoreState(**{"rows": rows, "decoded": decoded, **more})


def strong(table, rows):
    """The end of a world whose only rows are strong."""
    return Final({"eu": store(), "us": store()}, store({table: rows}))


def regional(table, eu, us=None, **more):
    """The end of a world with rows in two regions, the same in both unless told."""
    return Final({"eu": store({table: eu}), "us": store({table: eu if us is None else us})}, store(), **more)


def outcome(key, unit, body=b"", region="eu"):
    return Outcome("POST /", key, b"", 200, [], body, unit, region, LATE)


def commit(origin, seq, writes, stamp=None, key="", unit=None, versions=None, **more):
    """A journal entry; `writes` maps keys of table t to values."""
    unit = unit or f"{origin}:{seq}"
    rows = [Write("t", row, value, versions=versions or {}) for row, value in writes.items()]
    answer = outcome(key, unit) if key else None
    fields = {"epoch": 0, "deps": {}, "reads": [], "trace": ""} | more
    return Commit(origin=origin, seq=seq, stamp=stamp or seq, writes=rows, outcome=answer, unit=unit, **fields)


def applied(commits, parked=(), policy=None, **more):
    """What a region holds that applied these commits one after another, except those to be parked."""
    rows, outcomes, cursors = {}, {}, {}
    for one in commits:
        cursors[one.origin] = one.seq
        for write in one.writes if one not in parked else ():
            versions = join(write.versions, {one.origin: one.seq})
            row = Row(
                write.table, write.key, write.value, one.stamp, one.origin, one.seq, versions, 0, write.expires_at
            )
            rows[write.table, write.key], _ = resolve(policy or LastWriter(), rows.get((write.table, write.key)), row)
        if one.outcome and one not in parked:
            address = (one.outcome.scope, one.outcome.key)
            outcomes[address] = min(outcomes.get(address, one.outcome), one.outcome, key=lambda kept: kept.unit)
    journal = {(one.origin, one.seq): one for one in commits}
    state = {"rows": rows, "decoded": {}, "cursors": cursors, "outcomes": outcomes, "parked": parked}
    return StoreState(**{**state, "journal": journal, **more})


def row(**fields):
    """A decoded row."""
    return SimpleNamespace(**fields)


def involved(violations):
    """The operations that each violation names."""
    return [violation.operations for violation in violations]
