"""What of a commit may go to whom."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.dedupe import Outcome, valid_key
from proa.core.replicate.journal import Commit, Withheld, Write
from proa.core.residency import (
    Holding,
    completed,
    forbidden,
    gap,
    helping,
    holders,
    lacks,
    may_hold,
    part,
    passing,
    sealed,
    sealed_key,
    shared,
    shown,
    table_of,
)

REGIONS = ("at", "de", "eu", "us")
regions = st.sampled_from(REGIONS)
sets = st.sets(regions).map(lambda names: part("people", {"eu", *names}))  # the origin may hold what it wrote
tables = st.one_of(st.just("plain"), sets)
writes = st.builds(Write, tables, st.sampled_from("abc"), st.sampled_from([None, b"secret"]))


def outcome(held=()):
    return Outcome("POST /x", "key-1", b"digest", 200, [("a", "b")], b"secret", "unit", "eu", 9.0, held)


@st.composite
def commits(draw):
    """A commit as its origin has it: its answer is held where all its rows may be."""
    written = draw(st.lists(writes, max_size=4))
    held = shared({write.table for write in written})
    answer = draw(st.sampled_from([None, outcome(held)]))
    return Commit("eu/1", 1, 10, draw(st.integers(1, 3)), {}, written, [], answer, "unit")


def encoded(commit):
    return msgspec.msgpack.encode(commit)


def decoded(entry):
    return msgspec.msgpack.decode(entry, type=Commit)


def test_the_name_of_a_part_says_its_table_and_its_regions_in_any_order():
    assert part("people", ["us", "eu", "us"]) == "people@eu+us"
    assert (table_of("people@eu+us"), holders("people@eu+us")) == ("people", ("eu", "us"))
    assert [may_hold(region, "people@eu+us") for region in ("eu", "de")] == [True, False]
    assert may_hold("de", "people")


def test_what_met_several_parts_is_held_where_all_of_them_are():
    assert shared({"people", part("people", ["eu", "de"]), part("people", ["eu", "us"])}) == ("eu",)
    assert shared({"people"}) == ()


def test_no_key_that_a_client_may_send_is_a_sealed_one():
    assert not valid_key(sealed_key("k"))
    assert sealed_key(sealed_key("k")) == sealed_key("k") != sealed_key("l")


@given(commits(), regions)
def test_nothing_that_a_region_may_not_hold_goes_to_it_and_everything_else_does(commit, region):
    there = shown(commit, region)
    assert there.writes == [write for write in commit.writes if may_hold(region, write.table)]
    assert sum(gone.count for gone in there.withheld) == len(commit.writes) - len(there.writes)
    assert there.fenced_rows == commit.fenced_rows
    readable = commit.outcome is None or not commit.outcome.holders or region in commit.outcome.holders
    assert there.outcome == (commit.outcome if readable else sealed(commit.outcome))
    assert (there.origin, there.seq, there.deps, there.epoch) == (commit.origin, commit.seq, commit.deps, commit.epoch)


@given(commits(), st.lists(regions, max_size=4), regions)
def test_what_travels_through_others_arrives_as_from_its_origin_or_not_at_all(commit, way, last):
    entry = encoded(commit)
    for region in way:
        passed = passing([entry], region, {}).entries
        entry = passed[0] if passed else entry
    for arrived in passing([entry], last, {}).entries:
        direct = shown(commit, last)
        assert decoded(arrived).writes == direct.writes
        assert decoded(arrived).outcome == direct.outcome
        assert not lacks(decoded(arrived), last)


def test_an_origin_stops_before_the_first_entry_that_lacks_what_the_taker_may_hold():
    there, gone = part("people", ["eu", "de"]), Withheld(part("people", ["eu", "de"]), "any", 1)
    first = Commit("eu/1", 1, 10, 1, {}, [Write("plain", "a", b"1")], [], None, "u1")
    second = Commit("eu/1", 2, 11, 1, {}, [], [], None, "u2", "", [gone])
    third = Commit("eu/1", 3, 12, 1, {}, [], [], None, "u3")
    other = Commit("us/1", 1, 13, 1, {}, [], [], None, "u4")
    entries = [encoded(commit) for commit in (first, second, third, other)]
    assert there == gone.table
    assert passing(entries, "de", {}) == ([entries[0], entries[3]], {"eu/1": 1})
    assert passing(entries, "us", {}) == (entries, {})
    assert passing(entries, "de", {"eu/1": 2}) == (entries, {})
    assert passing(entries, "de", {"eu/1": 1}) == ([entries[0], entries[3]], {"eu/1": 1})


@given(commits(), regions, regions, regions)
def test_copies_complete_each_other_and_end_where_nothing_is_missing_that_one_of_them_has(commit, me, one, other):
    mine, copies = shown(shown(commit, one), me), [shown(commit, one), shown(commit, other)]
    for copy in copies:
        for entry in helping([(encoded(copy), gap(mine, me))], me):
            before, mine = mine, completed(mine, decoded(entry))
            assert mine != before
            assert not helping([(encoded(copy), gap(mine, me))], me)
    had = {write.table for copy in copies for write in copy.writes}
    assert set(gap(mine, me).parts) & had == set()
    assert lacks(mine, me) == (gap(mine, me).parts != () or gap(mine, me).answer)
    if not lacks(mine, me):
        assert sorted(mine.writes, key=repr) == sorted(shown(commit, me).writes, key=repr)
        assert mine.outcome == shown(commit, me).outcome


def test_a_withheld_active_row_still_counts_as_one():
    commit = Commit("eu/1", 1, 10, 1, {}, [Write(part("people", ["eu"]), "a", b"1", "active")], [], None, "u")
    assert shown(commit, "us").withheld == [Withheld("people@eu", "active", 1)]
    assert shown(commit, "us").fenced_rows


@pytest.mark.parametrize("region", REGIONS)
def test_what_a_region_may_not_have_is_told_from_the_names_in_its_store(region):
    named = ("people@de+eu", ("de", "eu"))
    held = [Holding("rows", *named, 3), Holding("misplaced rows", *named, 1)]
    assert forbidden(region, held) == (held[1:] if region in ("de", "eu") else held)
