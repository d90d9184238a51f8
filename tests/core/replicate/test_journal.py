"""When a commit may be applied, and when it is parked."""

import msgspec
import pytest

from proa.core.replicate.journal import Commit, Write, commit_of, missing, parks, read_entry
from proa.core.roles import Cut
from proa.errors import StoreCorrupt

CUT = Cut(epoch=2, origin="eu/1", seq=10)


def commit(seq, mode="active", epoch=1, origin="eu/1", reads=(), deps=None):
    return Commit(origin, seq, 0, epoch, deps or {}, [Write("t", "k", b"v", mode)], list(reads), None, "unit")


def test_a_commit_waits_for_what_its_region_had_applied():
    waiting = commit(1, deps={"us/1": 5, "ap/1": 2})
    assert missing(waiting, {"us/1": 4}) == {"us/1": 5, "ap/1": 2}
    assert missing(waiting, {"us/1": 5, "ap/1": 3}) == {}


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (commit(11), CUT),
        (commit(10), None),
        (commit(11, epoch=2), None),
        (commit(11, mode="any"), None),
        (commit(11, origin="eu/2"), None),
        (commit(12, mode="any", reads=[("eu/1", 11)]), CUT),
        (commit(12, mode="any", reads=[("eu/1", 9)]), None),
    ],
    ids=[
        "an active row past the cut",
        "the last commit before the cut",
        "a commit of the new epoch",
        "only any rows",
        "another life of the region",
        "any rows that build on a parked row",
        "any rows that build on a kept row",
    ],
)
def test_parked_is_what_came_too_late_with_active_rows_or_built_on_such(late, expected):
    assert parks(late, [CUT], {("eu/1", 11)}) == expected


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (b"\xc1", "eu/1:2 does not decode"),
        (msgspec.msgpack.encode(commit(2)).replace(b"unit", b"u\xffit"), "eu/1:2 does not decode"),
        (msgspec.msgpack.encode(commit(3)), "eu/1:2 says that it is eu/1:3"),
    ],
    ids=["no commit", "a text that is none", "another commit"],
)
def test_an_entry_that_is_not_the_commit_of_its_place_is_damaged(entry, says):
    with pytest.raises(StoreCorrupt, match=says):
        read_entry(entry, ("eu/1", 2))
    assert commit_of(entry, ("eu/1", 2)) is None
    assert read_entry(msgspec.msgpack.encode(commit(2)), ("eu/1", 2)) == commit(2)
