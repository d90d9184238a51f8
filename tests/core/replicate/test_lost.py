"""What became of a lost write, as a table of values."""

import pytest

from proa.core.replicate.journal import Commit, Row, Write
from proa.core.replicate.lost import FATES, fate, settled_fate, worst
from proa.core.replicate.records import Parked, trace_of


def write(value=b"lost"):
    return Write("t", "k", value, "active")


def parked(value=b"lost"):
    return Parked(2, 0.0, Commit("eu/1", 5, 50, 1, {}, [write(value)], [], None, "ab" * 16))


def stands(value, stamp, seq=1):
    return Row("t", "k", value, stamp, "us/1", seq, {"us/1": seq}, 1)


@pytest.mark.parametrize(
    ("wrote", "row", "epoch", "expected"),
    [
        (b"lost", None, 0, "needs a person"),
        (b"lost", stands(b"old", 40), 1, "needs a person"),
        (b"lost", stands(b"new", 60), 1, "superseded"),
        (b"lost", stands(b"new", 40), 2, "superseded"),  # by a region whose clock was behind
        (b"lost", stands(None, 60), 2, "superseded"),
        (b"lost", stands(b"lost", 40), 1, "same"),
        (None, None, 0, "same"),
        (None, stands(None, 40), 1, "same"),
        (None, stands(b"old", 40), 1, "needs a person"),
    ],
)
def test_a_lost_row_is_judged_by_what_stands_in_its_place(wrote, row, epoch, expected):
    assert fate(write(wrote), parked(wrote), row, lambda _: epoch) == expected


def test_a_commit_is_as_bad_as_its_worst_row_and_two_regions_know_more_than_one():
    assert worst(["same", "needs a person", "superseded"]) == "needs a person"
    assert worst([]) == "same"
    assert settled_fate("needs a person", "superseded") == "superseded"
    assert FATES[0] == "needs a person"


def test_a_unit_that_began_its_own_trace_has_its_id_for_it():
    commit = parked().commit
    assert trace_of(commit) == f"00-{'ab' * 16}-{'ab' * 8}-01"
