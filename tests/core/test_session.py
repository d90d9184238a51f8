"""The values of sessions: tokens as text, what they have lost, what of them may go."""

import contextlib
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.replicate.stamp import covers, join
from proa.core.roles import Cut
from proa.core.session import Loss, Token, after_losses, ended, losses, read_token, trimmed

REGIONS = ("eu", "us", "ap")
ORIGINS = st.builds("{}/{}".format, st.sampled_from(REGIONS), st.integers(1, 4))
VERSIONS = st.dictionaries(ORIGINS, st.integers(0, 20))
TOKENS = st.builds(Token, VERSIONS, st.integers(0, 1 << 40), st.integers(0, 100))


def none_parked(_origin, _after, _upto):
    return 0


@given(TOKENS)
def test_a_token_is_read_back_from_its_text(token):
    assert read_token(token.text(), REGIONS) == token


@given(TOKENS, st.data())
def test_a_token_that_was_cut_short_is_refused_or_says_less_but_never_breaks(token, data):
    text = token.text()
    short = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(ValueError, match=r"cut off|format|0 characters"):
        read_token(short, REGIONS)


@given(st.text(max_size=60))
def test_any_text_is_a_token_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        read_token(text, REGIONS)


@given(st.binary(max_size=60))
def test_any_bytes_in_a_tokens_clothes_are_a_token_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        read_token("1" + urlsafe_b64encode(data).decode().rstrip("="), REGIONS)


@pytest.mark.parametrize("seen", [{"eu/1": -1}, {"eu/1": 1 << 63}, {"mars/1": 1}, {"eu": 1}, {"eu/x": 1}])
def test_what_no_region_would_write_is_refused(seen):
    with pytest.raises(ValueError, match=r"range|origin|literal"):
        read_token(Token(seen).text(), REGIONS)


def test_a_cut_below_what_was_seen_costs_what_is_not_here():
    token = Token({"eu/1": 10, "us/1": 4}, epoch=1)
    cuts = [Cut(2, "eu/1", 7), Cut(2, "us/1", 4)]
    assert losses(token, cuts, {"eu/1": 7, "us/1": 4}, none_parked) == [Loss("eu/1", 7, 3)]


def test_commits_beyond_a_cut_that_came_and_stand_are_not_lost_those_set_aside_are():
    token = Token({"eu/1": 10}, epoch=1)
    cuts = [Cut(2, "eu/1", 7)]
    assert losses(token, cuts, {"eu/1": 12}, none_parked) == []
    parked = [8, 11]

    def parked_between(_, after, upto):
        return sum(after < seq <= upto for seq in parked)

    assert losses(token, cuts, {"eu/1": 12}, parked_between) == [Loss("eu/1", 10, 1)]
    assert losses(token, cuts, {"eu/1": 9}, parked_between) == [Loss("eu/1", 9, 2)]


def test_a_cut_that_was_known_when_the_token_was_given_is_no_news():
    token = Token({"eu/1": 10}, epoch=2)
    assert losses(token, [Cut(2, "eu/1", 7)], {"eu/1": 7}, none_parked) == []


@given(TOKENS, st.lists(st.builds(Cut, st.integers(0, 100), ORIGINS, st.integers(0, 20)), max_size=4), VERSIONS)
def test_a_client_that_was_told_of_its_losses_is_not_told_again(token, cuts, own):
    lost = losses(token, cuts, own, none_parked)
    after = after_losses(token, lost, epoch=100)
    assert losses(after, cuts, own, none_parked) == []
    assert all(after.seen[loss.origin] < token.seen[loss.origin] for loss in lost)


def test_a_life_that_ended_has_lost_what_no_region_has():
    token = Token({"eu/1": 10, "us/1": 5})
    assert ended(token, [{"eu/1": 8, "us/1": 5}, {"eu/1": 7, "us/1": 5, "eu/2": 0}]) == [Loss("eu/1", 8, 2)]
    assert ended(token, [{"eu/1": 8, "us/1": 4}, {"eu/1": 7, "us/1": 5}]) == []
    assert ended(token, []) == []


@given(VERSIONS, st.lists(VERSIONS, min_size=1, max_size=3))
def test_only_earlier_lives_that_every_peer_has_passed_are_dropped(seen, passed):
    kept = trimmed(seen, passed)
    assert covers(seen, kept)
    assert len({origin.partition("/")[0] for origin in kept}) == len({origin.partition("/")[0] for origin in seen})
    for each in passed:
        assert covers(join(each, kept), seen)
