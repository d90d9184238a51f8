"""What the next attempt at an effect may do, by what the one before left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.effect import Claim, decide, key_of


def claim(state):
    return Claim("charge", "POST /orders k", 0, "owner", "unit", "eu", 1.0, 61.0, b"{}", state=state)


@pytest.mark.parametrize(
    ("state", "at_work", "idempotent", "verdict"),
    [
        ("done", True, True, "recorded"),
        ("done", False, False, "recorded"),
        ("begun", True, True, "wait"),
        ("begun", True, False, "wait"),
        ("begun", False, True, "again"),
        ("begun", False, False, "park"),
        ("unknown", True, True, "again"),
        ("unknown", True, False, "park"),
        ("unknown", False, False, "park"),
    ],
)
def test_what_an_attempt_may_do_follows_from_the_claim(state, at_work, idempotent, verdict):
    assert decide(claim(state), b"{}", at_work=at_work, idempotent=idempotent) == verdict


def test_an_effect_that_nobody_claimed_is_called():
    assert decide(None, b"{}", at_work=False, idempotent=False) == "call"


@pytest.mark.parametrize("state", ["begun", "done", "unknown"])
def test_other_arguments_than_those_claimed_are_another_call(state):
    assert decide(claim(state), b"[]", at_work=False, idempotent=True) == "changed"


@given(st.sets(st.tuples(st.text(), st.text(), st.integers(0, 99)), max_size=20))
def test_each_call_of_each_unit_has_a_key_of_its_own(calls):
    keys = [key_of(*call) for call in calls if "\x1f" not in call[0] + call[1]]
    assert len(set(keys)) == len(keys)


def test_a_key_is_visible_ascii():
    assert key_of("charge", "POST /orders \N{SNOWMAN}", 3).isascii()
