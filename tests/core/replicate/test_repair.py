"""What differs between two regions and who is right, as values."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.replicate.journal import Row, Write
from proa.core.replicate.repair import (
    Held,
    difference,
    dots,
    elected,
    folded,
    judge,
    least,
    summed,
    suspects,
    taken,
)

NOW = 100.0


def row(value=b"v", stamp=1, versions=None, expires_at=None, origin="eu/1"):
    versions = versions or {origin: stamp}
    return Row("t", "k", value, stamp, origin, stamp, versions, 7, expires_at)


def held(one, *, durable, applied=None, parked=()):
    return Held([one], durable, applied or durable, list(parked))


def judged(ours, theirs, here, there, parked=((), ())):
    sides = held(ours, durable=here, parked=parked[0]), held(theirs, durable=there, parked=parked[1])
    return judge(ours, theirs, *sides, NOW)


def test_rows_differ_only_where_both_sides_have_applied_all_that_either_has_seen():
    old, new = row(b"old", 1), row(b"new", 2)
    assert judged(old, old, {"eu/1": 1}, {"eu/1": 1}) == "same"
    assert judged(old, new, {"eu/1": 1}, {"eu/1": 2}) == "moving"
    assert judged(old, new, {"eu/1": 2}, {"eu/1": 2}) == "different"
    assert judged(None, new, {"eu/1": 1}, {"eu/1": 2}) == "moving"
    assert judged(None, new, {"eu/1": 2}, {"eu/1": 2}) == "different"


def test_a_row_that_shows_what_the_other_side_has_set_aside_is_on_its_way_back():
    new = row(b"new", 2)
    assert judged(None, new, {"eu/1": 2}, {"eu/1": 2}, parked=([("eu/1", 2)], [])) == "moving"
    assert judged(new, None, {"eu/1": 2}, {"eu/1": 2}, parked=([], [("eu/1", 2)])) == "moving"


def test_a_row_that_has_seen_what_its_own_region_has_not_cannot_be():
    beyond = row(b"v", 1, {"eu/1": 9})
    assert judged(beyond, row(), {"eu/1": 1}, {"eu/1": 1}) == "different"
    assert judged(row(), beyond, {"eu/1": 1}, {"eu/1": 1}) == "different"
    sides = held(beyond, durable={"eu/1": 1}), held(row(), durable={"eu/1": 1})
    assert least(beyond, row(), *sides) == {"eu/1": 1}


def test_deleted_and_expired_rows_are_as_good_as_none():
    for gone in (row(None, 2), row(b"v", 2, expires_at=NOW)):
        assert judged(None, gone, {"eu/1": 2}, {"eu/1": 2}) == "same"
    assert judged(None, row(b"v", 2, expires_at=NOW + 1), {"eu/1": 2}, {"eu/1": 2}) == "different"


def test_a_difference_is_named_from_the_askers_side():
    old, new, other = row(b"1", 1), row(b"2", 2), row(b"3", 2, {"us/1": 2}, origin="us/1")
    pairs = {"missing": (None, old), "extra": (old, None), "older": (old, new), "newer": (new, old)}
    pairs |= {"other bytes": (old, row(b"x", 1)), "both changed": (new, other), "missing ": (row(None, 3), old)}
    assert [difference(ours, theirs, NOW) for ours, theirs in pairs.values()] == [name.strip() for name in pairs]


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=4)), max_size=8, unique_by=lambda one: one[0]))
def test_suspects_are_the_keys_under_which_one_side_has_what_the_other_has_not(rows):
    ours, theirs = dict(rows[::2]) | dict(rows[4:]), dict(rows[1::2]) | dict(rows[4:])
    found = suspects(ours, theirs)
    assert found == sorted(found)
    assert set(found) == {key for key in ours | theirs if ours.get(key) != theirs.get(key)}


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=4), st.data())
def test_sums_are_equal_for_equal_rows_alone(rows, data):
    other = data.draw(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=4))
    assert (summed(rows) == summed(other)) == (rows == other)


def test_the_row_is_what_its_writes_make_in_any_order():
    first, second = row(b"1", 1), row(b"2", 2)
    history = [(second, {"eu/1": 2}), (first, {"eu/1": 1})]
    assert folded(None, history) == folded(None, history[::-1]) == second
    assert folded(None, []) is None
    assert dots([first, second, None]) == [("eu/1", 1), ("eu/1", 2)]


def readable(write):
    return write.value != b"torn"


def test_most_regions_decide_then_who_can_be_read_and_everybody_elects_the_same():
    good, bad, other = (Write("t", "k", value) for value in (b"good", b"torn", b"zzzz"))
    assert elected({"a": good, "b": bad, "c": good}, readable) in ("a", "c")
    assert elected({"a": bad, "b": good, "c": bad}, readable) in ("a", "c")
    assert elected({"a": bad, "b": good}, readable) == "b"
    assert elected({"a": None, "b": bad}, readable) == "b"
    assert elected({"a": None}, readable) is None
    assert elected({"a": good, "b": other}, readable) == "b"
    assert elected({"b": good, "a": other}, readable) == "a"


def test_a_region_takes_over_no_row_that_is_older_or_from_beyond_its_cursors():
    old, new = row(b"old", 1), row(b"new", 2)
    assert taken(None, old, new, {"eu/1": 2}) == new
    assert taken(None, None, new, {"eu/1": 2}) == new
    assert taken(None, old, new, {"eu/1": 1}) is None
    assert taken(None, new, old, {"eu/1": 2}) is None
    assert taken(None, new, row(b"x", 2), {"eu/1": 2}) is None
    concurrent = row(b"us", 3, {"us/1": 3}, origin="us/1")
    assert taken(None, new, concurrent, {"eu/1": 2, "us/1": 3}).versions == {"eu/1": 2, "us/1": 3}
