"""The cache: fresh, stale but given, given only where nothing better comes; bounded, and purged by path and tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.cache import Cache, Kept, Purge
from proa.core.policy.fallback import Memory, cached
from proa.errors import DeclarationError


@pytest.mark.parametrize(
    ("age_s", "judged"),
    [(0, "fresh"), (9.9, "fresh"), (10, "revalidate"), (14.9, "revalidate"), (15, "if error"), (40, "gone")],
)
def test_an_answer_ages(age_s, judged):
    assert Cache(max_age_s=10, swr_s=5, stale_if_error_s=30).judge(age_s) == judged


def test_it_is_told_as_a_header():
    assert Cache(10, 5, 30).control() == "max-age=10, stale-while-revalidate=5, stale-if-error=30"


@given(size=st.integers(1, 5), keys=st.lists(st.integers(0, 9), max_size=50))
def test_what_is_kept_is_bounded_and_the_longest_unused_goes_first(size, keys):
    kept, used = Kept(size), []
    for key in keys:
        if kept.get(key, 0.0) is None:
            kept.put(key, key, 0.0)
        used = [*(one for one in used if one != key), key][-size:]
        assert len(kept) == len(used)
    assert all(kept.get(key, 0.0) for key in used)


def test_it_is_purged_by_what_a_key_means():
    kept = Kept(10)
    for path, tags in (("/a", ("x",)), ("/a/1", ()), ("/b", ("x",))):
        kept.put((path, tags), "", 0.0)
    assert [kept.purge(lambda key: Purge(path="/a/*").means(*key)), len(kept)] == [1, 2]
    assert [kept.purge(lambda key: Purge(tag="x").means(*key)), len(kept)] == [2, 0]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Purge("/a"), True),
        (Purge("/a/*"), False),
        (Purge("/*"), True),
        (Purge(tag="t"), True),
        (Purge(tag="u"), False),
    ],
)
def test_purging_by_path_and_tag(wanted, meant):
    assert wanted.means("/a", ("t",)) == meant


def test_a_purge_names_a_path_or_a_tag():
    for wrong in ({}, {"path": "/a", "tag": "t"}):
        with pytest.raises(ValueError, match="path or a tag"):
            Purge(**wrong)


def test_a_fallback_remembers_answers_by_their_arguments():
    memory = Memory(cached(60))
    memory.keep(("EUR",), {}, 1.5, now=0.0)
    memory.keep((), {"currency": "USD"}, 2.5, now=0.0)
    assert memory.recall(("EUR",), {}, now=60.0) == (1.5,)
    assert memory.recall(("EUR",), {}, now=60.1) is None
    assert memory.recall((), {"currency": "USD"}, now=1.0) == (2.5,)


@pytest.mark.parametrize("wrong", [{"max_age_s": -1}, {"max_age_s": 1, "swr_s": -1}, {"max_age_s": 1, "size": 0}])
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError, match=list(wrong)[-1]):
        Cache(**wrong)
