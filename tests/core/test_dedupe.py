"""What a key's record decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.dedupe import Outcome, RecentKeys, decide, fingerprint, valid_key

RECORD = Outcome("POST /x", "k", b"digest", 200, [], b"{}", "unit", "eu", expires_at=100.0)


@pytest.mark.parametrize(
    ("found", "digest", "now", "expected"),
    [
        (None, b"digest", 0.0, "run"),
        (RECORD, b"digest", 0.0, "replay"),
        (RECORD, b"other", 0.0, "mismatch"),
        (RECORD, b"digest", 100.0, "run"),
        (RECORD, b"other", 100.0, "run"),
    ],
)
def test_a_key_runs_once_replays_the_same_and_refuses_another_payload(found, digest, now, expected):
    assert decide(found, digest, now) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a", True), ("x" * 255, True), ("", False), ("x" * 256, False), ("a b", False), ("ä", False), ("a\n", False)],
)
def test_a_key_is_1_to_255_visible_ascii_characters(key, expected):
    assert valid_key(key) is expected


ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\0 0123456789"))
PARTS = st.tuples(st.sampled_from(["POST", "PUT"]), ANY_TEXT, ANY_TEXT, st.binary())


@given(PARTS, PARTS)
def test_two_requests_share_a_fingerprint_only_if_they_are_equal(a, b):
    assert (fingerprint(*a) == fingerprint(*b)) == (a == b)


@given(ANY_TEXT, st.data())
def test_no_sign_moves_from_one_part_of_a_request_to_the_next_unseen(text, data):
    ends = st.lists(st.integers(0, len(text)), min_size=2, max_size=2).map(sorted)
    (a, b), (c, d) = data.draw(ends), data.draw(ends)
    one = fingerprint("PUT", text[:a], text[a:b], text[b:].encode("utf-8", "surrogatepass"))
    other = fingerprint("PUT", text[:c], text[c:d], text[d:].encode("utf-8", "surrogatepass"))
    assert (one == other) == ((a, b) == (c, d))


def test_a_zero_in_a_path_is_not_taken_for_its_end():
    assert fingerprint("PUT", "/a\0b", "", b"") != fingerprint("PUT", "/a", "b", b"")


def test_recent_keys_remember_at_least_the_last_ones_in_bounded_memory():
    recent = RecentKeys(limit=10)
    for number in range(25):
        recent.add("POST /x", str(number))
        assert all(recent.maybe("POST /x", str(known)) for known in range(max(0, number - 9), number + 1))
    assert not recent.maybe("POST /x", "0")
    assert not recent.maybe("POST /y", "24")
