"""Causality: nothing stands without what it was built on."""

from msgspec.structs import replace

from proa.core.replicate.journal import Row, Write
from proa.core.roles import Cut
from proa.simulation.checkers.causality import check
from proa.simulation.history import Control, Final
from support.histories import commit, store

CAUSE = commit("eu/1", 1, {"a": b"1"})
EFFECT = commit("us/1", 1, {"b": b"2"}, deps={"eu/1": 1}, reads=[("eu/1", 1)])


def region(*applied, parked=(), **more):
    """A region that applied these commits in this order."""
    rows = {
        (write.table, write.key): Row("t", write.key, write.value, 1, one.origin, one.seq, {one.origin: one.seq}, at)
        for at, one in enumerate(applied, 1)
        for write in one.writes
    }
    cursors = {one.origin: one.seq for one in applied}
    journal = {(one.origin, one.seq): one for one in (*applied, *parked)}
    return store(rows=rows, cursors=cursors, journal=journal, parked=parked, **more)


def details(state, *cuts):
    return [violation.detail for violation in check(Final({"ap": state}, store(), control=Control(cuts=cuts)))]


def test_a_cause_that_is_applied_first_is_no_violation():
    assert details(region(CAUSE, EFFECT)) == []


def test_an_effect_that_was_applied_before_its_cause_is_named():
    assert details(region(EFFECT, CAUSE)) == ["ap has us/1:1 (1 in all) before what it depends on"]


def test_every_earlier_commit_of_an_origin_is_part_of_the_cause():
    second = commit("eu/1", 2, {"c": b"3"})
    third = replace(EFFECT, deps={"eu/1": 2})
    assert details(region(second, third, CAUSE)) == ["ap has us/1:1 (1 in all) before what it depends on"]


def test_a_row_that_several_commits_made_tells_nothing_of_their_order():
    state = region(EFFECT, CAUSE)
    rows = {key: replace(row, versions={"eu/1": 1, "us/1": 1}) for key, row in state.rows.items()}
    assert details(replace(state, rows=rows)) == []


def test_what_read_a_parked_row_is_parked_too():
    assert details(region(EFFECT, parked=[CAUSE])) == ["ap has us/1:1 (1 in all) though it read what was set aside"]
    assert details(region(parked=[CAUSE, EFFECT])) == []


def test_an_epochs_active_commits_have_everything_up_to_its_cut():
    active = replace(EFFECT, epoch=2, writes=[Write("t", "b", b"2", "active")])
    assert details(region(CAUSE, active), Cut(2, "eu/1", 1)) == []
    assert details(region(CAUSE, active), Cut(3, "eu/1", 9)) == []
    assert details(region(CAUSE, active), Cut(2, "eu/1", 2)) == [
        "a region has us/1:1 (1 in all) without all that its epoch starts from"
    ]
