"""The key book: when a provider is asked, how long keys serve without it, and that made-up ids do not reach it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.core.identity.keys import ABSENT_MAX, Fetch, Freshness, KeyBook, Unavailable, Unknown, Use

POLICY = Freshness(fresh_s=300, stale_s=3600, cooldown_s=5, absent_s=60)


def book(keys=("k1",), at=0.0):
    made = KeyBook(POLICY)
    made.asking(at)
    made.heard(dict.fromkeys(keys, "key"), at)
    return made


def test_nothing_is_known_before_the_provider_was_asked():
    assert KeyBook(POLICY).ask("k1", 0) == Fetch()


def test_fresh_keys_serve_at_once_and_aged_ones_while_they_are_fetched_again():
    assert book().ask("k1", 300) == Use("key")
    assert book().ask("k1", 301) == Use("key", refresh=True)


def test_one_question_is_under_way_at_a_time():
    aged = book()
    aged.asking(301)
    assert aged.ask("k1", 302) == Use("key")


def test_keys_serve_without_the_provider_until_they_are_too_old():
    assert isinstance(book().ask("k1", 3600), Use)
    assert book().ask("k1", 3601) == Fetch()


def test_after_a_question_without_an_answer_nobody_asks_again_at_once():
    old = book()
    old.asking(3601)
    assert old.ask("k1", 3603) == Unavailable(3)
    assert old.ask("k1", 3606) == Fetch()


def test_a_new_key_id_makes_us_ask():
    assert book().ask("k2", 5) == Fetch()


def test_within_the_cooldown_a_new_key_id_is_unknown():
    assert book().ask("k2", 4) == Unknown()


def test_an_id_that_the_provider_does_not_have_is_not_asked_for_again_for_a_while():
    known = book()
    known.asking(10)
    known.heard({"k1": "key"}, 10, wanted="k2")
    assert known.ask("k2", 69) == Unknown()
    assert known.ask("k2", 70) == Fetch()


def test_an_absent_id_that_is_published_later_is_known_with_the_next_answer():
    known = book()
    known.heard({"k1": "key"}, 10, wanted="k2")
    known.heard({"k1": "key", "k2": "key"}, 20)
    assert known.ask("k2", 21) == Use("key")


def test_a_new_key_during_an_outage_is_nobodys_fault():
    """The token may be good: a client that is told so must not throw it away."""
    out = book()
    out.asking(10)
    assert out.ask("k2", 12) == Unavailable(3)


def test_the_background_asks_at_half_the_time_and_never_within_the_cooldown():
    assert book().due_s(0) == 150
    tried = book()
    tried.asking(150)
    assert tried.due_s(150) == 5
    assert KeyBook(POLICY).due_s(0) == 0


@pytest.mark.parametrize("times", [(0, 300, 3600), (5, 4, 3600), (5, 300, 299)])
def test_a_policy_that_contradicts_itself_is_refused(times):
    cooldown_s, fresh_s, stale_s = times
    with pytest.raises(ValueError, match="keys need"):
        Freshness(fresh_s, stale_s, cooldown_s)


@given(st.lists(st.tuples(st.text(max_size=4), st.floats(0, 20)), max_size=200), st.booleans())
def test_however_many_ids_turn_up_the_provider_is_asked_once_in_a_cooldown(asked, answers):
    known, now, questions = book(), 0.0, []
    for key_id, pause_s in asked:
        now += pause_s
        if known.ask(key_id, now) == Fetch():
            known.asking(now)
            questions.append(now)
            if answers:
                known.heard({"k1": "key"}, now, key_id)
    assert all(later - earlier >= POLICY.cooldown_s for earlier, later in pairwise(questions))


def test_what_is_remembered_of_made_up_ids_is_bounded():
    known = book()
    for number in range(3 * ABSENT_MAX):
        known.heard({"k1": "key"}, 10, wanted=f"x{number}")
    assert len(known._absent) == ABSENT_MAX
