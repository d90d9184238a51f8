"""Sagas: whose they are, whether code fits a journal, and from where one may go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.saga import (
    Entry,
    Parent,
    Record,
    anew,
    cancelled,
    child_id,
    home_of,
    in_progress,
    mismatch,
    retry_from,
    token,
)

REGIONS = ("eu", "us", "ap")


def record(**more):
    return Record("travel", "eu:1", "eu", 1, b"", "seed", 1.0, "unit", **more)


def step(name, state="done", **more):
    return Entry("step", name, 1.0, state, **more)


def test_an_id_names_its_home_before_a_colon():
    assert home_of("us:42", REGIONS) == "us"


@given(st.text(min_size=1))
def test_any_other_id_has_one_home_wherever_it_is_asked_for(id):
    assert home_of(id, REGIONS) == home_of(id, tuple(reversed(REGIONS)))
    assert home_of(id, REGIONS) in REGIONS


@pytest.mark.parametrize("id", ["us:42", "42"])
def test_a_child_has_its_parents_home(id):
    home = home_of(id, REGIONS)
    parent = Record("travel", id, home, 1, b"", "seed", 1.0, "unit", parent=Parent("x", "y", 0))
    assert home_of(child_id(parent, 3), REGIONS) == home
    assert child_id(parent, 3) != child_id(parent, 4)


def test_a_step_fits_the_entry_of_its_kind_and_name():
    assert mismatch(0, None, "step", "reserve") is None
    assert mismatch(0, step("reserve"), "step", "reserve") is None
    assert mismatch(0, Entry("cancelled", "", 1.0), "sleep", "") is None
    assert mismatch(2, step("reserve"), "sleep", "") == "step 2 is recorded as step reserve, the code has sleep there"


def test_what_is_in_progress_is_begun_or_next():
    assert in_progress({}) == 0
    assert in_progress({0: step("a"), 1: step("b")}) == 2
    assert in_progress({0: step("a"), 1: step("b", "begun")}) == 1


def test_cancelling_fails_the_step_in_progress_and_keeps_its_undo():
    begun = step("b", "begun", undo="unb")
    failed = Entry("step", "b", 9.0, "failed", error="code", said="said", undo="unb")
    assert cancelled({0: step("a"), 1: begun}, "code", "said", 9.0) == (1, failed)
    number, entry = cancelled({0: step("a")}, "code", "said", 9.0)
    assert (number, entry.kind, entry.state) == (1, "cancelled", "failed")


def test_a_stuck_saga_goes_on_where_it_stopped_and_a_failed_one_at_the_step_that_failed():
    entries = {0: step("a"), 1: step("b", "failed")}
    assert retry_from(record(status="stuck"), entries, None) == 2
    assert retry_from(record(status="failed"), entries, None) == 1
    assert retry_from(record(status="failed"), entries, 0) == 0


def test_nothing_goes_on_from_behind_a_step_that_was_undone():
    entries = {0: step("a", undone=True), 1: step("b", "failed")}
    assert "step 0 (a) was undone" in retry_from(record(status="failed"), entries, 1)
    assert retry_from(record(status="failed"), entries, 0) == 0
    assert "done" in retry_from(record(status="done"), entries, 0)
    assert "0 to 1" in retry_from(record(status="failed"), entries, 7)


def test_what_was_undone_is_another_piece_of_work_the_next_time():
    before = record()
    after = record(rounds=anew(before, {0: step("a", undone=True), 1: step("b"), 2: Entry("child", "c", 1.0)}))
    assert after.rounds == {0: 1, 2: 1}
    assert [after.task(number) == before.task(number) for number in range(3)] == [False, True, False]


def test_tokens_are_the_same_in_every_run():
    assert token("seed", 1) == token("seed", 1)
    assert len({token("seed", number) for number in range(100)} | {token("other", 1)}) == 101
