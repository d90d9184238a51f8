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


PARTS = st.tuples(st.sampled_from(["POST", "PUT"]), st.text(), st.text(), st.binary())


@given(PARTS, PARTS)
def test_two_requests_share_a_fingerprint_only_if_they_are_equal(a, b):
    texts_hold_no_zero = all("\0" not in text for text in (*a[:3], *b[:3]))
    if texts_hold_no_zero:
        assert (fingerprint(*a) == fingerprint(*b)) == (a == b)


def test_recent_keys_remember_at_least_the_last_ones_in_bounded_memory():
    recent = RecentKeys(limit=10)
    for number in range(25):
        recent.add("POST /x", str(number))
        assert all(recent.maybe("POST /x", str(known)) for known in range(max(0, number - 9), number + 1))
    assert not recent.maybe("POST /x", "0")
    assert not recent.maybe("POST /y", "24")
