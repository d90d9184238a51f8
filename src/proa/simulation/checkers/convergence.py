"""Regions that have settled hold the same, and each holds exactly what its journal makes of it.

The journal is the truth: every row is the last write of its commits, those parked left out, and every key's outcome is
that of its earliest unit. A row that is deleted or has expired and one that is not there are the same, since regions
forget such rows each in its own time. This says three things at once. Commits are atomic: of one that is not parked
every write shows, or what came after it. Nothing parked shows. And what an application of commits in another order made
of the row does not matter.

For a `last_writer` table the row is found without the framework's help: the write with the largest (stamp, region,
incarnation). That is the causally last one because a commit's stamp is larger than those of all that its region had
seen, which is looked at too. For another policy the row is the fold of `core.replicate.merge.resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

from msgspec.structs import replace

from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, Dot, Key, Row, Write
from proa.core.replicate.merge import LastWriter, Merge, resolve
from proa.core.replicate.stamp import Origin, join
from proa.core.residency import may_hold, sealed_key
from proa.core.time import wall_of
from proa.simulation.history import Final, Operation, StoreState, Violation

NAMED_MAX = 3
"""How many of the differences a violation names."""
NO_MERGES: Mapping[str, Merge] = {}


class Content(NamedTuple):
    """What all regions must agree on in a row. Its local version is each region's own."""

    value: bytes | None
    stamp: int
    origin: str
    seq: int
    expires_at: float | None


class Held(NamedTuple):
    """What a region holds, field by field to compare: `outcomes` are units, `commits` units by dot."""

    rows: Mapping[Any, Any]
    outcomes: Mapping[Any, Any]
    cursors: Mapping[Any, Any] = {}
    commits: Mapping[Any, Any] = {}


def check(history: Sequence[Operation], final: Final, merges: Mapping[str, Merge] = NO_MERGES) -> list[Violation]:
    """Where regions differ from each other, and from what their journals tell. `merges` are the tables' policies."""
    states = {region: final.regions[region] for region in sorted(final.regions)}
    commits = [commit for state in states.values() for commit in state.journal.values()]
    at = wall_of(max((commit.stamp for commit in commits), default=0))
    held = {region: _held(state, at, final.at) for region, state in states.items()}
    violations = list(_uncausal({(commit.origin, commit.seq): commit for commit in commits}))
    for one, other in combinations(states, 2):
        ours, theirs = _common(held[one], other), _common(held[other], one)
        violations += _differences(f"{one} and {other} differ", ours, theirs, history, commits)
    for region, state in states.items():
        made = _made(state, merges, at, final.at)._replace(cursors=held[region].cursors, commits=held[region].commits)
        violations += _differences(f"{region} differs from its journal", held[region], made, history, commits)
        violations += _gaps(region, state)
        violations += _base(region, state, merges, history, final.at)
    return violations


# What a region holds, and what it should.


def _held(state: StoreState, at: float, end: float) -> Held:
    return Held(
        {key: _content(row) for key, row in state.rows.items() if _stays(row, end)},
        {_named(outcome): outcome.unit for outcome in state.outcomes.values() if _counts(outcome, at)},
        {origin: seq for origin, seq in state.cursors.items() if seq},
        {dot: commit.unit for dot, commit in state.journal.items()},
    )


def _common(held: Held, other: str) -> Held:
    """What another region may hold of it."""
    return held._replace(rows={key: row for key, row in held.rows.items() if may_hold(other, key[0])})


def _named(outcome: Outcome) -> tuple[str, str]:
    """What an outcome is known by also where its answer may not be held."""
    return (outcome.scope, sealed_key(outcome.key))


def _content(row: Row) -> Content:
    return Content(row.value, row.stamp, row.origin, row.seq, row.expires_at)


def _stays(row: Row | Content, end: float) -> bool:
    """Whether no region may have forgotten it at the end."""
    return row.value is not None and (row.expires_at is None or row.expires_at > end)


def _counts(outcome: Outcome, at: float) -> bool:
    """Whether no region can have dropped it as expired: `at` is the latest time that any region wrote down."""
    return outcome.expires_at > at + 0.001


def _made(state: StoreState, merges: Mapping[str, Merge], at: float, end: float) -> Held:
    """What the journal without its parked commits makes of rows and outcomes."""
    parked = {(commit.origin, commit.seq) for commit in state.parked}
    commits = sorted((commit for dot, commit in state.journal.items() if dot not in parked), key=_rank)
    rows = {
        (write.table, write.key): Content(write.value, commit.stamp, commit.origin, commit.seq, write.expires_at)
        for commit in commits
        for write in commit.writes
    }
    if policies := {table: policy for table, policy in merges.items() if not isinstance(policy, LastWriter)}:
        rows |= _folded(commits, policies)
    return Held({key: row for key, row in rows.items() if _stays(row, end)}, _earliest_units(commits, at))


_parsed = cache(Origin.parse)


def _rank(commit: Commit) -> tuple[int, Origin]:
    """The last-writer order: the last of a key's writes is the one that stands."""
    return (commit.stamp, _parsed(commit.origin))


def _folded(commits: Iterable[Commit], policies: Mapping[str, Merge]) -> dict[Key, Content]:
    kept: dict[Key, Row] = {}
    for commit in commits:
        for write in commit.writes:
            if policy := policies.get(write.table):
                key = (write.table, write.key)
                kept[key], _ = resolve(policy, kept.get(key), _written(commit, write), commit.seen)
    return {key: _content(row) for key, row in kept.items()}


def _written(commit: Commit, write: Write) -> Row:
    versions = join(write.versions, {commit.origin: commit.seq})
    return Row(
        write.table, write.key, write.value, commit.stamp, commit.origin, commit.seq, versions, 0, write.expires_at
    )


def _earliest_units(commits: Iterable[Commit], at: float) -> dict[tuple[str, str], str]:
    """The unit whose outcome stands under each (scope, key): ids sort by time."""
    units: dict[tuple[str, str], str] = {}
    for commit in commits:
        outcome = commit.outcome
        if outcome and _counts(outcome, at):
            key = _named(outcome)
            units[key] = min(units.get(key, outcome.unit), outcome.unit)
    return units


def _base(
    region: str, state: StoreState, merges: Mapping[str, Merge], history: Sequence[Operation], end: float
) -> Iterable[Violation]:
    """Where the base is not what the dropped commits make."""
    dropped = {dot: commit for dot, commit in state.journal.items() if dot[1] <= state.floors.get(dot[0], 0)}
    held = Held({key: _content(row) for key, row in state.base.items() if _stays(row, end)}, {})
    made = _made(replace(state, journal=dropped), merges, 0.0, end)._replace(outcomes={})
    return _differences(f"the base of {region} differs from what it had dropped", held, made, history, [])


def _gaps(region: str, state: StoreState) -> Iterable[Violation]:
    """Cursors that claim commits which the journal does not have."""
    for origin, cursor in state.cursors.items():
        if missing := [seq for seq in range(1, cursor + 1) if (origin, seq) not in state.journal]:
            detail = f"{region} has applied {origin} up to {cursor}, but its journal lacks {missing[:NAMED_MAX]}"
            yield Violation("convergence", detail)


def _uncausal(journal: Mapping[Dot, Commit]) -> Iterable[Violation]:
    """Commits whose stamp is not larger than all stamps that their region had seen."""
    early = [
        f"{commit.origin}:{commit.seq} before {dot[0]}:{dot[1]}"
        for commit in journal.values()
        for dot in [*commit.deps.items(), (commit.origin, commit.seq - 1)]
        if dot in journal and journal[dot].stamp >= commit.stamp
    ]
    if early:
        detail = f"{len(early)} times a commit is stamped before one that its region had seen: "
        yield Violation("convergence", detail + ", ".join(early[:NAMED_MAX]))


# The account of a violation.


def _differences(
    who: str, one: Held, other: Held, history: Sequence[Operation], commits: Sequence[Commit]
) -> Iterable[Violation]:
    for what, ours, theirs in zip(Held._fields, one, other, strict=True):
        if ours != theirs:
            keys = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
            shown = "; ".join(f"{key}: {ours.get(key)} / {theirs.get(key)}" for key in keys[:NAMED_MAX])
            detail = f"{who} in {len(keys)} {what}: {shown}"
            versions = [held[key] for key in keys for held in (ours, theirs) if key in held]
            yield Violation("convergence", detail, _operations(what, keys, versions, history, commits))


def _operations(
    what: str, keys: Sequence[Any], versions: Sequence[Any], history: Sequence[Operation], commits: Sequence[Commit]
) -> tuple[int, ...]:
    """The operations whose commits are concerned, as far as they had an idempotency key."""
    dots: set[Any] = set(keys)
    if what == "rows":
        dots = {(content.origin, content.seq) for content in versions}
    wanted = {key for _, key in keys} if what == "outcomes" else set[str]()
    wanted |= {_named(one.outcome)[1] for one in commits if one.outcome and (one.origin, one.seq) in dots}
    return tuple(one.number for one in history if one.idempotency_key and sealed_key(one.idempotency_key) in wanted)
