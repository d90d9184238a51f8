"""The account of a drill, from records made by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proa.chaos.account import (
    CommitRef,
    Doubled,
    DrillReport,
    Evidence,
    Stall,
    Subject,
    account,
    acknowledged,
    duplicates,
    outage_s,
)
from proa.chaos.records import THROUGH_EDGE, Kind, Record
from proa.declare.objectives import Objectives

FAULT_AT = 100.0


def answered_again(due):
    """Requests at the end of a load, after the recovery."""
    return [record(100 + number, due + number / 100, region="b") for number in range(10)]


def record(number, due, *, kind="first", took=0.01, status=200, region="b", key=None, read=None, **more):
    key = f"k{number}" if key is None else key
    read = f"/rows/{key}" if read is None and 200 <= status < 300 else read or ""
    return Record(number, kind, key, due, due, due + took, status, region, read=read, **more)


def payments(**objectives):
    promised = Objectives(**({"rto_s": 1, "rpo_s": 0} | objectives))
    return Subject("payments", "active-active", promised, "a", "kill", 1)


def authorizer(**objectives):
    promised = Objectives(**({"rto_s": 5, "rpo_s": 1} | objectives))
    return Subject("authorizer", "active-passive", promised, "a", "kill", 1)


def report(subject, records, **evidence) -> DrillReport:
    return account(subject, Evidence(records=records, fault_at=FAULT_AT, lease_s=1.0, **evidence))


def test_a_drill_without_damage_holds():
    made = report(payments(), [record(n, 99 + n / 10) for n in range(20)])
    assert (made.requests, made.ok, made.failed, made.acknowledged) == (20, 20, 0, 20)
    assert (made.lost_writes, made.duplicates, made.rpo_writes, made.rto_s) == ([], 0, 0, 0.0)
    assert (made.verdict, made.violations) == ("held", [])


def test_an_attempt_that_the_client_gave_up_on_is_no_failed_request():
    made = report(
        payments(),
        [record(1, 99, kind="abandoned", status=0), record(1, 99.1, kind="after_timeout")],
    )
    assert (made.requests, made.ok, made.failed_idempotent) == (1, 1, 0)
    assert made.repeats == {"abandoned": 1, "after_timeout": 1}


def test_a_refusal_by_a_region_that_was_asked_directly_is_no_failed_request():
    made = report(payments(), [record(1, 99), record(1, 99, kind="elsewhere", status=503)])
    assert (made.requests, made.failed) == (1, 0)


def test_recovery_lasts_until_the_end_of_the_last_failed_request():
    records = [record(1, 99), record(2, 100.5, status=503, took=0.2), record(3, 103)]
    assert report(payments(), records).rto_s == 0.7


def test_a_recovery_that_the_load_did_not_outlast_is_not_measured():
    still = "requests still failed when the load ended, so the recovery took longer than was measured"
    failing = [record(1, 99), record(2, 100.5, status=503)]
    assert report(authorizer(), failing).violations == [still]
    assert report(authorizer(), failing + answered_again(101)).violations == []


def test_a_request_in_flight_at_the_fault_counts():
    assert outage_s([record(1, 99.9, took=0.5, status=0)], FAULT_AT, float("inf"), 1.0) == 0.4


def test_a_failure_before_the_fault_is_not_part_of_the_recovery():
    assert report(payments(), [record(1, 98, status=500)]).rto_s == 0.0


def test_a_slow_answer_prolongs_the_recovery_like_a_failed_one():
    assert report(payments(), [record(1, 100.5, took=1.5)]).rto_s == 2.0


def test_what_fails_after_a_fail_back_has_begun_is_not_this_recovery():
    records = [record(1, 100.5, status=503, took=0.1), record(2, 120, status=503)]
    assert report(authorizer(), records, until=119.0).rto_s == 0.6


def test_recovery_of_an_approved_plan_is_judged_from_the_approval_on():
    records = [record(1, 107.9, status=503, took=0.1), *answered_again(109)]
    made = report(authorizer(), records, approved_at=104.0)
    assert (made.rto_s, made.rto_after_approval_s) == (8.0, 4.0)
    assert made.verdict == "held"
    assert report(authorizer(rto_s=3), records, approved_at=104.0).violations == [
        "recovery took 4 s from the approval; rto_s=3"
    ]


def test_recovery_without_an_approval_is_judged_from_the_fault_on():
    records = [record(1, 107.9, status=503, took=0.1), *answered_again(109)]
    assert report(authorizer(), records).violations == ["recovery took 8 s from the fault; rto_s=5"]


def test_a_failed_idempotent_request_violates_active_active():
    made = report(payments(), [record(1, 100.1, status=503), *answered_again(101)])
    assert made.failed_idempotent == 1
    assert made.violations == ["1 idempotent requests failed although other regions were active"]


def test_a_request_without_a_key_that_fails_is_counted_but_not_as_idempotent():
    made = report(payments(), [record(1, 100.1, status=503, key=""), *answered_again(101)])
    assert (made.failed, made.failed_idempotent, made.verdict) == (1, 0, "held")


def test_a_write_that_one_survivor_lacks_is_lost():
    made = report(
        payments(),
        [record(1, 99.5, region="a"), record(2, 99.6)],
        absent={"b": frozenset(), "c": frozenset({"/rows/k1"})},
        commits={"k1": CommitRef("a/1", 17)},
    )
    assert [(write.key, write.commit, write.region, write.acknowledged_at) for write in made.lost_writes] == [
        ("k1", "a/1:17", "a", 99.51)
    ]
    assert made.violations == ["1 acknowledged writes were lost; rpo_s=0 tolerates none"]


def test_a_lost_write_within_the_rpo_holds_if_the_system_lists_it():
    evidence = {"absent": {"b": frozenset({"/rows/k1"})}, "listed": frozenset({"k1"})}
    made = report(authorizer(), [record(1, 99.5, region="a")], **evidence)
    assert (len(made.lost_writes), made.verdict) == (1, "held")


def test_a_lost_write_that_nobody_lists_violates():
    evidence = {"absent": {"b": frozenset({"/rows/k1"})}, "listed": frozenset({"other"})}
    made = report(authorizer(), [record(1, 99.5, region="a")], **evidence)
    assert made.violations == ["1 lost writes are not in the lost-write list, k1 for one"]


def test_a_write_that_was_away_only_until_its_disk_returned_need_not_be_listed():
    away = {"absent": {"b": frozenset({"/rows/k1", "/rows/k2"})}, "listed": frozenset()}
    records = [record(1, 99.5, region="a"), record(2, 99.6, region="a")]
    made = report(authorizer(), records, **away, gone=frozenset())
    assert ([write.returned for write in made.lost_writes], made.verdict) == ([True, True], "held")
    made = report(authorizer(), records, **away, gone=frozenset({"/rows/k2"}))
    assert [write.returned for write in made.lost_writes] == [True, False]
    assert made.violations == ["1 lost writes are not in the lost-write list, k2 for one"]


def test_a_lost_write_from_before_the_rpo_violates():
    made = report(authorizer(), [record(1, 98.0, region="a")], absent={"b": frozenset({"/rows/k1"})})
    assert made.violations == ["1 lost writes had been acknowledged more than rpo_s=1 before the fault"]


def test_unreplicated_writes_are_those_past_what_any_survivor_had():
    records = [record(n, 99 + n / 10, region="a") for n in range(5)] + [record(5, 100.1, region="a")]
    made = report(
        authorizer(),
        records,
        commits={f"k{n}": CommitRef("a/1", n + 1) for n in range(6)},
        held_at_fault={"a/1": 3},
    )
    assert made.rpo_writes == 2


def test_rows_beyond_the_first_of_a_key_are_duplicates():
    assert duplicates({"k1": 1, "k2": 3, "k3": 2}) == 3
    made = report(payments(), [record(1, 99)], row_counts={"k1": 1, "k2": 3, "k3": 2})
    assert made.violations == ["3 effects were doubled in silence, k2 for one"]


def test_rows_of_units_that_the_system_lists_are_no_silent_ones():
    counts = {"k1": 2, "k2": 3, "k3": 1}
    listed = {"k1": Doubled(1), "k2": Doubled(1), "k3": Doubled(1, handled=1, expected=1)}
    made = report(payments(), [record(1, 99)], row_counts=counts, doubled=listed)
    assert made.violations == ["1 effects were doubled in silence, k2 for one"]
    assert (made.duplicates, made.duplicates_listed, made.duplicates_handled) == (3, 3, 1)


def test_a_pair_that_on_duplicate_has_not_dealt_with_violates_and_one_without_a_handler_does_not():
    listed = {"k1": Doubled(1, expected=1), "k2": Doubled(1), "k3": Doubled(2, handled=2, expected=2)}
    made = report(payments(), [record(1, 99)], doubled=listed)
    assert made.violations == ["on_duplicate has not dealt with 1 doubled keys, k1 for one"]


def test_of_a_key_that_was_dealt_with_one_answer_may_be_gone_but_not_all():
    first, second = record(1, 99, read="/rows/a"), record(1, 99.2, kind="elsewhere", read="/rows/b", digest=b"y")
    one, both = frozenset({"/rows/b"}), frozenset({"/rows/a", "/rows/b"})
    handled = {"k1": Doubled(1, handled=1, expected=1)}
    assert report(payments(), [first, second], absent={"b": one}, doubled=handled).lost_writes == []
    assert len(report(payments(), [first, second], absent={"b": one}, doubled={"k1": Doubled(1)}).lost_writes) == 1
    assert len(report(payments(), [first, second], absent={"b": both}, doubled=handled).lost_writes) == 1
    assert report(payments(), [first, second], doubled=handled).violations == []


def test_two_answers_to_one_key_must_be_the_same():
    records = [record(1, 99, digest=b"x"), record(1, 99.2, kind="later", digest=b"y")]
    assert report(payments(), records).violations == ["k1 was answered in different ways"]


def test_what_the_workload_finds_broken_violates():
    assert report(payments(), [record(1, 99)], broken=["the books do not balance"]).violations == [
        "the books do not balance"
    ]


def test_acknowledgements_change_hands_once():
    records = [record(1, 99, region="a"), record(2, 103, region="b"), record(3, 104, region="b")]
    assert report(authorizer(), records).verdict == "held"


def test_acknowledgements_of_two_epochs_that_overlap_violate():
    records = [record(1, 99, region="a"), record(2, 103, region="b"), record(3, 103.1, region="a")]
    (violation,) = report(authorizer(), records).violations
    assert violation.startswith("acknowledgements of different epochs overlap")
    assert violation.endswith("by a then b then a, with 1 change(s) of the active region")


def test_a_replayed_answer_is_no_acknowledgement_of_another_epoch():
    records = [
        record(1, 99, region="a"),
        record(1, 99.1, region="b", kind="elsewhere", replayed=True),
        record(2, 99.2, region="a"),
    ]
    assert report(authorizer(), records).verdict == "held"


def test_stalls_are_those_of_requests_due_around_the_fault():
    records = [record(1, 99, took=9.0), record(2, 100.5, took=0.02), record(3, 101, took=0.5), record(4, 107, took=3.0)]
    assert report(payments(), records).stall_ms == Stall(500.0, 500.0, 500.0)


attempts = st.builds(
    record,
    st.integers(0, 30),
    st.floats(90, 120),
    kind=st.sampled_from(("first", "later", "at_once", "elsewhere", "abandoned", "after_timeout")),
    took=st.floats(0, 5),
    status=st.sampled_from((0, 200, 201, 409, 500, 503)),
    region=st.sampled_from("ab"),
)


@given(st.lists(attempts), st.lists(st.integers(0, 30)))
def test_the_figures_of_a_report_agree_with_each_other(records, gone):
    absent = {"b": frozenset(f"/rows/k{number}" for number in gone)}
    made = report(authorizer(), records, absent=absent)
    through: list[Kind] = [attempt.kind for attempt in records if attempt.kind in THROUGH_EDGE]
    assert made.requests == made.ok + made.failed == len(through)
    assert made.failed_idempotent <= made.failed
    assert len(made.lost_writes) <= made.acknowledged == len(acknowledged(records))
    assert {write.key for write in made.lost_writes} <= {f"k{number}" for number in gone}
    assert made.rto_s >= 0
    assert made.stall_ms.p50 <= made.stall_ms.p99 <= made.stall_ms.max
    assert (made.verdict == "held") == (made.violations == [])
