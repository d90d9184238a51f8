"""Version vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.replicate.stamp import Origin, continues, covers, join, region_of

VECTORS = st.dictionaries(st.sampled_from(["eu/1", "us/1", "ap/1", "eu/2"]), st.integers(1, 5))


@given(VECTORS, VECTORS, VECTORS)
def test_joining_is_commutative_associative_and_idempotent(a, b, c):
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, a) == a


@given(VECTORS, VECTORS)
def test_a_join_is_the_least_vector_that_covers_both(a, b):
    joined = join(a, b)
    assert covers(joined, a)
    assert covers(joined, b)
    assert all(seq in (a.get(origin), b.get(origin)) for origin, seq in joined.items())


def test_an_origin_is_written_region_slash_incarnation():
    assert str(Origin("eu-west-1", 3)) == "eu-west-1/3"
    assert Origin.parse("eu-west-1/3") == Origin("eu-west-1", 3)
    assert region_of("eu-west-1/3") == "eu-west-1"
    with pytest.raises(ValueError, match="not an origin"):
        Origin.parse("3")


def test_a_disk_continues_the_lives_since_which_it_lost_nothing():
    assert [continues("eu/3", 2, earlier) for earlier in ("eu/1", "eu/2", "eu/3", "eu/4", "us/2")] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert [continues("eu/3", 0, earlier) for earlier in ("eu/2", "eu/3")] == [False, True]
