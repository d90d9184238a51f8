"""Convergence: regions agree with each other and with their journals."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proa.core.replicate.merge import order
from proa.core.replicate.stamp import covers, join
from proa.simulation.checkers.convergence import check
from proa.simulation.history import Final
from support.histories import applied, commit, involved, op, outcome, store

C1 = commit("eu/1", 1, {"a": b"1", "b": b"1"}, stamp=10, key="k")
C2 = commit("us/1", 1, {"a": b"2"}, stamp=20, versions={"eu/1": 1})
HISTORY = [op(7, "write", idempotency_key="k")]


def end(eu, us):
    return Final({"eu": eu, "us": us}, store())


def details(final):
    return [violation.detail for violation in check(HISTORY, final)]


# Regions as they really come to be: every commit seen everywhere, in any causal order.

ORIGINS = ["eu/1", "us/1", "ap/2"]


def written(rng, length):
    """Commits of three regions, each after having seen some of the others'."""
    commits, seen, stamps = [], {origin: {} for origin in ORIGINS}, dict.fromkeys(ORIGINS, 0)
    for _ in range(length):
        origin = rng.choice(ORIGINS)
        for one in commits:
            due = one.origin != origin and one.seq == seen[origin].get(one.origin, 0) + 1
            if due and covers(seen[origin], one.deps) and rng.random() < 0.5:
                seen[origin] = join(seen[origin], {one.origin: one.seq})
                stamps[origin] = max(stamps[origin], one.stamp)
        seq, stamps[origin] = seen[origin].get(origin, 0) + 1, stamps[origin] + rng.randint(1, 3)
        versions = {row: seen_of(commits, seen[origin], row) for row in rng.sample("abc", rng.randint(1, 3))}
        one = commit(origin, seq, {}, stamp=stamps[origin], key=rng.choice(["", "k", "j"]), deps=dict(seen[origin]))
        writes = [replace(write, versions=versions[write.key]) for write in commit(origin, seq, versions).writes]
        commits.append(replace(one, writes=[replace(write, value=b"%d" % len(commits)) for write in writes]))
        seen[origin] = seen[origin] | {origin: seq}
    return commits


def seen_of(commits, cursors, row):
    """The version vector of a row in a region with these cursors."""
    held = {}
    for one in commits:
        if one.seq <= cursors.get(one.origin, 0) and any(write.key == row for write in one.writes):
            held = join(held, {one.origin: one.seq})
            for write in one.writes:
                held = join(held, write.versions if write.key == row else {})
    return held


def shuffled(rng, commits):
    """The same commits in another order that respects what they depend on."""
    waiting, order_, cursors = list(commits), [], {}
    while waiting:
        ready = [one for one in waiting if one.seq == cursors.get(one.origin, 0) + 1 and covers(cursors, one.deps)]
        one = rng.choice(ready)
        waiting.remove(one)
        order_.append(one)
        cursors[one.origin] = one.seq
    return order_


@given(st.integers(0, 10_000), st.integers(0, 14))
def test_regions_that_applied_the_same_commits_in_any_order_have_converged(seed, length):
    rng = random.Random(seed)
    commits = written(rng, length)
    assert check([], end(applied(shuffled(rng, commits)), applied(shuffled(rng, commits)))) == []


@given(st.integers(0, 10_000), st.integers(1, 14))
def test_half_a_commit_shows_wherever_it_matters(seed, length):
    rng = random.Random(seed)
    commits = written(rng, length)
    good, index = applied(commits), rng.randrange(length)
    halved = [replace(one, writes=one.writes[1:]) if place == index else one for place, one in enumerate(commits)]
    bad = replace(applied(halved), journal=good.journal)
    matters = content(bad) != content(good)
    assert (check([], end(good, bad)) != []) == matters


def content(state):
    return {key: (row.value, row.stamp, row.origin, row.seq) for key, row in state.rows.items()}


# By hand.


def test_a_row_that_differs_is_named_with_the_operations_that_wrote_it():
    good = applied([C1, C2])
    bad = replace(good, rows={**good.rows, ("t", "b"): replace(good.rows["t", "b"], value=b"9")})
    found = check(HISTORY, end(good, bad))
    assert [violation.detail.split(":")[0] for violation in found] == [
        "eu and us differ in 1 rows",
        "us differs from its journal in 1 rows",
    ]
    assert involved(found) == [(7,), (7,)]


@pytest.mark.parametrize("field", [{"stamp": 11}, {"origin": "us/1"}, {"seq": 2}, {"expires_at": 5.0}])
def test_every_field_of_a_row_counts(field):
    good = applied([C1])
    bad = replace(good, rows={**good.rows, ("t", "a"): replace(good.rows["t", "a"], **field)})
    assert len(check(HISTORY, end(good, bad))) == 2


def test_the_local_version_of_a_row_is_each_regions_own():
    good = applied([C1])
    other = replace(good, rows={key: replace(row, version=99) for key, row in good.rows.items()})
    assert check(HISTORY, end(good, other)) == []


def test_regions_that_agree_on_a_row_which_their_journals_do_not_make_are_wrong_together():
    wrong = replace(applied([C1]), journal=applied([C1, C2]).journal)
    assert [text.split(":")[0] for text in details(end(wrong, wrong))] == [
        "eu differs from its journal in 1 rows",
        "us differs from its journal in 1 rows",
    ]


def test_a_parked_commit_does_not_show():
    kept = applied([C1, C2], parked=[C2])
    assert check(HISTORY, end(kept, kept)) == []
    showing = replace(applied([C1, C2]), parked=[C2])
    assert len(details(end(showing, showing))) == 2


def test_a_cursor_without_its_commit_is_a_gap():
    short = replace(applied([C1]), cursors={"eu/1": 1, "us/1": 1})
    assert "us has applied us/1 up to 1, but its journal lacks [1]" in details(end(applied([C1, C2]), short))


def test_cursors_that_differ_are_a_violation():
    found = details(end(applied([C1, C2]), applied([C1])))
    assert "eu and us differ in 1 cursors: us/1: 1 / None" in found


def test_an_origin_that_has_no_commit_yet_is_no_difference():
    fresh = replace(applied([C1]), cursors={"eu/1": 1, "us/2": 0})
    assert check(HISTORY, end(applied([C1]), fresh)) == []


def test_two_commits_under_one_dot_are_a_violation():
    other = applied([commit("eu/1", 1, {"a": b"1", "b": b"1"}, stamp=10, unit="another")])
    found = details(end(applied([replace(C1, outcome=None)]), other))
    assert found == ["eu and us differ in 1 commits: ('eu/1', 1): eu/1:1 / another"]


def test_an_outcome_that_is_missing_or_of_another_unit_is_a_violation():
    good = applied([C1])
    for outcomes in ({}, {("POST /", "k"): outcome("k", "later")}):
        found = check(HISTORY, end(good, replace(good, outcomes=outcomes)))
        assert involved(found) == [(7,), (7,)]


def test_of_two_units_under_one_key_the_earlier_stands():
    first, second = commit("eu/1", 1, {}, key="k", unit="u1"), commit("us/1", 1, {}, key="k", unit="u2")
    both = applied([first, second])
    assert check(HISTORY, end(both, both)) == []
    wrong = replace(both, outcomes={("POST /", "k"): second.outcome})
    assert len(check(HISTORY, end(wrong, wrong))) == 2


def test_an_outcome_that_may_have_expired_need_not_be_there():
    old = replace(C1, outcome=replace(C1.outcome, expires_at=5.0), stamp=6000 << 16)
    assert check(HISTORY, end(applied([old]), replace(applied([old]), outcomes={}))) == []


def test_a_stamp_that_is_not_later_than_what_its_region_had_seen_is_a_violation():
    early = commit("us/1", 1, {"c": b"3"}, stamp=10, deps={"eu/1": 1})
    assert details(end(applied([C1, early]), applied([C1, early]))) == [
        "1 times a commit is stamped before one that its region had seen: us/1:1 before eu/1:1"
    ]
    second = commit("eu/1", 2, {"c": b"3"}, stamp=9)
    assert details(end(applied([C1, second]), applied([C1, second]))) == [
        "1 times a commit is stamped before one that its region had seen: eu/1:2 before eu/1:1"
    ]


class Longest:
    """A policy that keeps the longer value."""

    name = "longest"

    def combine(self, ours, theirs):
        return max(ours, theirs, key=lambda row: (len(row.value), order(row)))


def test_another_policy_than_last_writer_is_asked():
    long, late = commit("eu/1", 1, {"a": b"long"}, stamp=1), commit("us/1", 1, {"a": b"2"}, stamp=2)
    merged, latest = applied([long, late], policy=Longest()), applied([long, late])
    assert check([], end(merged, merged), {"t": Longest()}) == []
    assert len(check([], end(latest, latest), {"t": Longest()})) == 2
