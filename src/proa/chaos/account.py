"""The account of a drill: evidence in, report out.

Nothing here asks a system anything. The evidence is what the clients recorded, what the survivors answered when they
were asked for everything acknowledged, what the stores' own files hold, and what the control plane says it did; the
report is arithmetic on it, so that each figure can be checked by hand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal

import msgspec

from proa.chaos.faults import How
from proa.chaos.messages import MessageAccount
from proa.chaos.records import THROUGH_EDGE, Record
from proa.core.roles import Topology
from proa.declare.objectives import Objectives

LAST = 10
"""How many of the last requests must have been answered for a recovery to be over."""
CODE = re.compile(r'"code":\s*"([^"]+)"')
Verdict = Literal["held", "violated"]
AFTER_LEASE_S = 5.0
"""Stalls are those of requests due from the fault until this long after a lease has run out."""


class Phase(msgspec.Struct, frozen=True):
    """A step of the fail-over: when it began, counted from the fault, and how long it took."""

    phase: str
    at_s: float
    took_s: float


class CommitRef(msgspec.Struct, frozen=True):
    """Where a key's unit was committed, as the journal on the disk says."""

    origin: str
    seq: int

    def __str__(self) -> str:
        return f"{self.origin}:{self.seq}"


class LostWrite(msgspec.Struct, frozen=True):
    """An acknowledged write that a survivor does not have at the end.

    `returned`: it was away only until the lost region's disk returned, which brought it to everybody.
    """

    key: str
    commit: str
    region: str
    acknowledged_at: float
    returned: bool = False


class Doubled(msgspec.Struct, frozen=True):
    """What the system's own list of duplicates says of a key: units beside the one that is kept.

    `handled` are those that the route's `on_duplicate` dealt with, `expected` those that it has to.
    """

    listed: int
    handled: int = 0
    expected: int = 0


NOT_LISTED = Doubled(0)


class Lag(msgspec.Struct, frozen=True):
    """How long after its commit the survivors applied another region's commit, before the fault (0: there was none)."""

    p50: float = 0.0
    p99: float = 0.0


class Stall(msgspec.Struct, frozen=True):
    """Latencies of the requests due around the fault."""

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Evidence(msgspec.Struct, frozen=True):
    """All that is known about one fault.

    `absent` holds, per survivor, the paths that it could not read back, `gone` those of them that some region could
    not after the lost region's disk had returned; `commits` where each key was committed;
    `held_at_fault` the last sequence of each of the lost region's origins that a survivor had at the fault; `listed`
    the keys in the system's own lost-write list, None where the region's disk has not returned; `row_counts` how many
    rows each key has, in the store that has most of them; `doubled` the keys in the system's list of duplicates;
    `broken` what the workload's own check found; `until` when something else than recovery from this fault began.
    """

    records: Sequence[Record]
    fault_at: float
    lease_s: float
    approved_at: float | None = None
    until: float = float("inf")
    slow_s: float = 1.0
    absent: Mapping[str, frozenset[str]] = {}
    gone: frozenset[str] | None = None
    commits: Mapping[str, CommitRef] = {}
    held_at_fault: Mapping[str, int] = {}
    listed: frozenset[str] | None = None
    row_counts: Mapping[str, int] = {}
    doubled: Mapping[str, Doubled] = {}
    broken: Sequence[str] = ()
    lag_ms: Lag = Lag()
    timeline: Sequence[Phase] = ()
    handovers: int = 1
    messages: MessageAccount | None = None


class DrillReport(msgspec.Struct, frozen=True):
    """What a drill cost, and whether the promises held."""

    app: str
    topology: Topology
    lost_region: str
    how: How
    fault_at: float
    seed: int
    requests: int
    ok: int
    failed: int
    failed_idempotent: int
    acknowledged: int
    duplicates: int
    duplicates_listed: int
    duplicates_handled: int
    lost_writes: list[LostWrite]
    rpo_writes: int
    rto_s: float
    rto_after_approval_s: float | None
    lag_ms: Lag
    stall_ms: Stall
    timeline: list[Phase]
    repeats: dict[str, int]
    failures: dict[str, int]
    verdict: Verdict
    violations: list[str]
    messages: MessageAccount | None = None


class Subject(msgspec.Struct, frozen=True):
    """What was drilled, and what its author promised."""

    app: str
    topology: Topology
    objectives: Objectives
    lost_region: str
    how: How
    seed: int


def account(subject: Subject, evidence: Evidence) -> DrillReport:
    """The report of one drill."""
    requests = [record for record in evidence.records if record.kind in THROUGH_EDGE]
    failed = [record for record in requests if not record.ok]
    rto_s = outage_s(requests, evidence.fault_at, evidence.until, evidence.slow_s)
    report = DrillReport(
        app=subject.app,
        topology=subject.topology,
        lost_region=subject.lost_region,
        how=subject.how,
        fault_at=round(evidence.fault_at, 6),
        seed=subject.seed,
        requests=len(requests),
        ok=len(requests) - len(failed),
        failed=len(failed),
        failed_idempotent=sum(1 for record in failed if record.key),
        acknowledged=len(acknowledged(evidence.records)),
        duplicates=duplicates(evidence.row_counts),
        duplicates_listed=sum(found.listed for found in evidence.doubled.values()),
        duplicates_handled=sum(found.handled for found in evidence.doubled.values()),
        lost_writes=lost_writes(evidence),
        rpo_writes=unreplicated(evidence),
        rto_s=rto_s,
        rto_after_approval_s=_after_approval(evidence, rto_s),
        lag_ms=evidence.lag_ms,
        stall_ms=stall(requests, evidence),
        timeline=list(evidence.timeline),
        repeats=dict(Counter(record.kind for record in evidence.records if record.kind != "first")),
        failures=dict(Counter(map(reason, failed)).most_common()),
        verdict="held",
        violations=[],
        messages=evidence.messages,
    )
    broken = violations(subject, evidence, report)
    return msgspec.structs.replace(report, verdict="violated", violations=broken) if broken else report


def violations(subject: Subject, evidence: Evidence, report: DrillReport) -> list[str]:
    """What the figures of a report hold against the promises, one sentence each."""
    return [
        *_duplicate_violations(evidence, report.lost_writes),
        *_loss_violations(subject.objectives, evidence, report.lost_writes),
        *_recovery_violations(subject.objectives, report),
        *_unrecovered(evidence),
        *_message_violations(evidence.messages),
        *(_overlap_violations(evidence) if subject.topology == "active-passive" else ()),
    ]


def _message_violations(found: MessageAccount | None) -> list[str]:
    """A message takes effect once: what was set aside is listed and reconciled, so nothing else excuses it."""
    if found is None:
        return []
    sentences = {
        f"{found.duplicated} messages took effect twice": found.duplicated,
        f"{found.lost} messages were sent and never dealt with": found.lost,
        f"{found.waiting} messages were still waiting at the end": found.waiting,
    }
    return [said for said, number in sentences.items() if number]


def _after_approval(evidence: Evidence, rto_s: float) -> float | None:
    if evidence.approved_at is None:
        return None
    return max(0.0, round(evidence.fault_at + rto_s - evidence.approved_at, 3))


def reason(record: Record) -> str:
    """Why a request failed: the status with the error's code where the answer has one, else what ended it."""
    if not record.status:
        return record.error
    code = CODE.search(record.error)
    return f"{record.status} {code[1]}" if code else str(record.status)


def acknowledged(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Every acknowledged write by its key (its number, where it has none), with all its acknowledgements."""
    writes: dict[str, list[Record]] = {}
    for record in records:
        if record.ok and record.read:
            writes.setdefault(record.key or f"#{record.number}", []).append(record)
    return writes


def duplicates(row_counts: Mapping[str, int]) -> int:
    """How many rows there are beyond the first of each key."""
    return sum(count - 1 for count in row_counts.values() if count > 1)


def silent(evidence: Evidence) -> dict[str, int]:
    """The keys with more rows than the first one and those of units that the system lists, and how many more."""
    extra = {
        key: count - 1 - evidence.doubled.get(key, NOT_LISTED).listed for key, count in evidence.row_counts.items()
    }
    return {key: count for key, count in extra.items() if count > 0}


def lost_writes(evidence: Evidence) -> list[LostWrite]:
    """Acknowledged, and absent from at least one survivor at the end.

    Of a key whose doubled effect was dealt with, one answer may have been taken back, but not all.
    """
    missing = frozenset[str]().union(*evidence.absent.values())
    lost: list[LostWrite] = []
    for key, answers in acknowledged(evidence.records).items():
        absent = [answer for answer in answers if answer.read in missing]
        taken_back = evidence.doubled.get(key, NOT_LISTED).handled and len(absent) < len(answers)
        if absent and not taken_back:
            lost.append(_lost(key, absent, evidence))
    return lost


def _lost(key: str, answers: Sequence[Record], evidence: Evidence) -> LostWrite:
    first, gone = answers[0], evidence.gone
    returned = gone is not None and not any(answer.read in gone for answer in answers)
    return LostWrite(key, str(evidence.commits.get(key, "")), first.region, round(first.end, 6), returned)


def unreplicated(evidence: Evidence) -> int:
    """How many writes had been acknowledged at the fault, but were on no survivor's disk."""
    before = acknowledged(record for record in evidence.records if record.end <= evidence.fault_at)
    refs = (evidence.commits.get(key) for key in before)
    held = evidence.held_at_fault
    return sum(1 for ref in refs if ref and ref.origin in held and ref.seq > held[ref.origin])


def outage_s(requests: Iterable[Record], since: float, until: float, slow_s: float) -> float:
    """From `since` to the end of the last request that failed or was slow, among those due before `until`."""
    bad = [r.end for r in requests if r.end >= since and r.due < until and not (r.ok and r.latency_s <= slow_s)]
    return round(max(bad) - since, 3) if bad else 0.0


def stall(requests: Iterable[Record], evidence: Evidence) -> Stall:
    """Latencies of the requests due from the fault until a lease and a little more have passed."""
    end = evidence.fault_at + evidence.lease_s + AFTER_LEASE_S
    found = sorted(r.latency_s * 1000 for r in requests if evidence.fault_at <= r.due <= end)
    if not found:
        return Stall()
    return Stall(round(quantile(found, 0.5), 2), round(quantile(found, 0.99), 2), round(found[-1], 2))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of ordered values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _duplicate_violations(evidence: Evidence, lost: Sequence[LostWrite]) -> Iterable[str]:
    if doubled := silent(evidence):
        worst = max(doubled, key=lambda key: doubled[key])
        yield f"{sum(doubled.values())} effects were doubled in silence, {worst} for one"
    if waiting := [key for key, found in evidence.doubled.items() if found.handled < found.expected]:
        yield f"on_duplicate has not dealt with {len(waiting)} doubled keys, {waiting[0]} for one"
    yield from evidence.broken
    known = {write.key for write in lost} | evidence.doubled.keys()
    for key, answers in acknowledged(evidence.records).items():
        if key not in known and len({answer.digest for answer in answers if answer.key}) > 1:
            yield f"{key} was answered in different ways"


def _loss_violations(objectives: Objectives, evidence: Evidence, lost: Sequence[LostWrite]) -> Iterable[str]:
    rpo_s = objectives.rpo_s
    if rpo_s == 0 and lost:
        yield f"{len(lost)} acknowledged writes were lost; rpo_s=0 tolerates none"
    elif rpo_s is not None:
        late = [write for write in lost if evidence.fault_at - write.acknowledged_at > rpo_s]
        if late:
            yield f"{len(late)} lost writes had been acknowledged more than rpo_s={rpo_s:g} before the fault"
    if evidence.listed is not None:
        unlisted = [write.key for write in lost if write.key not in evidence.listed and not write.returned]
        if unlisted:
            yield f"{len(unlisted)} lost writes are not in the lost-write list, {unlisted[0]} for one"


def _recovery_violations(objectives: Objectives, report: DrillReport) -> Iterable[str]:
    approved = report.rto_after_approval_s
    measured, since = (report.rto_s, "the fault") if approved is None else (approved, "the approval")
    if objectives.rto_s is not None and measured > objectives.rto_s:
        yield f"recovery took {measured:g} s from {since}; rto_s={objectives.rto_s:g}"
    if report.topology == "active-active" and report.failed_idempotent:
        yield f"{report.failed_idempotent} idempotent requests failed although other regions were active"


def _unrecovered(evidence: Evidence) -> Iterable[str]:
    """A recovery time means something only if requests were answered again before the load ended."""
    requests = sorted((r for r in evidence.records if r.kind in THROUGH_EDGE), key=lambda r: r.due)
    if any(not r.ok and r.due >= evidence.fault_at for r in requests[-LAST:]):
        yield "requests still failed when the load ended, so the recovery took longer than was measured"


def _overlap_violations(evidence: Evidence) -> Iterable[str]:
    """Acknowledgements of new writes come from one region at a time, and change hands only with an epoch."""
    answers = sorted((r.end, r.region) for r in evidence.records if r.ok and r.read and r.region and not r.replayed)
    turns = [region for region, _ in groupby(region for _, region in answers)]
    if len(turns) - 1 > evidence.handovers:
        yield (
            f"acknowledgements of different epochs overlap: writes were acknowledged by {' then '.join(turns[:8])}, "
            f"with {evidence.handovers} change(s) of the active region"
        )
