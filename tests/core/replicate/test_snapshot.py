"""Two states joined key by key are the state of all their commits, without tombstones."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proa.core.replicate.journal import Row
from proa.core.replicate.merge import LastWriter, resolve
from proa.core.replicate.snapshot import joinable, joined

ORIGINS = ("eu/1", "us/1")
POLICY = LastWriter()


def row(origin, seq, stamp, value=b"v", versions=None):
    return Row("t", "a", value, stamp, origin, seq, (versions or {}) | {origin: seq}, 0)


OURS, THEIRS = row("us/1", 3, 30), row("eu/1", 5, 50)


def test_a_row_that_the_other_side_had_and_has_no_more_was_deleted():
    assert joined(POLICY, OURS, None, {"us/1": 3}, {"us/1": 3}) is None
    assert joined(POLICY, OURS, None, {"us/1": 3}, {"us/1": 2}) == OURS


def test_a_row_that_this_side_had_and_has_no_more_does_not_come_back():
    assert joined(POLICY, None, THEIRS, {"eu/1": 5}, {"eu/1": 5}) is None
    assert joined(POLICY, None, THEIRS, {"eu/1": 4}, {"eu/1": 5}) == THEIRS


def test_a_row_gives_way_to_that_of_a_side_which_had_included_it():
    assert joined(POLICY, OURS, THEIRS, {"us/1": 3}, {"us/1": 3, "eu/1": 5}) == THEIRS
    assert joined(POLICY, OURS, THEIRS, {"us/1": 3, "eu/1": 5}, {"eu/1": 5}) == OURS


def test_rows_of_which_neither_side_had_included_the_other_meet_the_policy():
    kept = joined(POLICY, OURS, THEIRS, {"us/1": 3}, {"eu/1": 5})
    assert (kept.seq, kept.versions) == (5, {"us/1": 3, "eu/1": 5})


def test_a_row_made_of_a_commit_that_they_have_set_aside_gives_way():
    late = row("ap/1", 80, 80)
    sound = row("ap/1", 79, 79)
    assert joined(POLICY, late, sound, {"ap/1": 80}, {"ap/1": 80}) == sound


def test_every_region_needs_one_that_may_hold_all_that_it_may():
    regions = ["eu", "us", "ap"]
    assert joinable(regions, []) is True
    assert joinable(regions, ["people@eu+us"]) is True
    assert joinable(regions, ["people@eu"]) is False
    assert joinable(regions, ["people@eu+us", "people@ap+us"]) is False
    assert joinable(["eu"], ["people@eu"]) is True


WRITES = st.lists(st.tuples(st.sampled_from(ORIGINS), st.booleans(), st.booleans()), max_size=8)
"""Who writes the row next, whether it deletes it, and whether the writer first takes in all that the other made."""


def history(writes):
    """The writes of a key by causal regions: each with all that its writer had seen."""
    seen, state, made = {name: {} for name in ORIGINS}, dict.fromkeys(ORIGINS), []
    for stamp, (origin, deletes, syncs) in enumerate(writes, 1):
        if syncs:
            for other, at in made:
                state[origin], seen[origin] = applied(state[origin], other, at), seen[origin] | {
                    name: max(seen[origin].get(name, 0), at.get(name, 0)) for name in at
                }  # fmt: skip
        seq = seen[origin].get(origin, 0) + 1
        seen[origin] = seen[origin] | {origin: seq}
        written = row(
            origin, seq, stamp, None if deletes else b"%d" % stamp, state[origin].versions if state[origin] else {}
        )
        state[origin] = written
        made.append((written, dict(seen[origin])))
    return made


def applied(ours, theirs, seen):
    kept, _ = resolve(POLICY, ours, theirs, seen)
    return kept


def state_of(made, reach):
    """The row that the commits within `reach` make, its tombstone forgotten; None where it is deleted."""
    kept = None
    for written, seen in made:
        if written.seq <= reach.get(written.origin, 0):
            kept = applied(kept, written, seen)
    return kept if kept and kept.value is not None else None


def closed(made, reach):
    """`reach` with all that its commits had seen."""
    grown = dict(reach)
    for written, seen in reversed(made):
        if written.seq <= grown.get(written.origin, 0):
            grown = {name: max(grown.get(name, 0), seen.get(name, 0)) for name in grown.keys() | seen.keys()}
    return grown


@given(WRITES, st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_a_reader_sees_what_all_commits_of_both_sides_make(writes, one, two, three, four):
    """But for a delete that one side has forgotten and the other's writer had not seen: then the write stands."""
    made = history(writes)
    known, told = closed(made, {"eu/1": one, "us/1": two}), closed(made, {"eu/1": three, "us/1": four})
    both = {name: max(known.get(name, 0), told.get(name, 0)) for name in ORIGINS}
    kept = joined(POLICY, state_of(made, known), state_of(made, told), known, told)
    expected = state_of(made, both)
    if kept is None or expected is not None:
        assert visible(kept) == visible(expected)


def visible(kept):
    return kept and msgspec.structs.replace(kept, versions={}).value
