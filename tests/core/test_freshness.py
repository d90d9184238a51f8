"""Freshness as values: what a peer's answers prove, and which peers count."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.freshness import NEVER, Mark, Vouch, counting, heard, owed, settled
from proa.core.roles import Assignment, Cut

REGIONS = ("eu", "us", "ap")


def test_a_region_vouches_from_when_the_question_left_once_it_has_applied_the_answer():
    known = heard(Vouch(), Mark(3.0, {"us/1": 4}), {"us/1": 3})
    assert settled(known, {"us/1": 3}) == Vouch(NEVER, (Mark(3.0, {"us/1": 4}),))
    assert settled(known, {"us/1": 4}) == Vouch(3.0)


def test_a_peer_that_never_rests_is_caught_up_with_all_the_same():
    known = Vouch()
    for time in range(1, 50):
        known = heard(known, Mark(float(time), {"us/1": time}), {"us/1": time - 1})
        assert len(known.marks) <= 2
    assert known.since == 48.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=60))
def test_nothing_is_vouched_for_that_is_not_here(steps):
    """A peer commits, answers, and is applied from, in any order; each answer tells of all until it left."""
    now, head, here, known, committed_at = 0.0, 0, 0, Vouch(), {0: 0.0}
    for kind, size in steps:
        now += 1.0
        if kind == 0:
            head += 1
            committed_at[head] = now
        elif kind == 1:
            known = heard(known, Mark(now, {"us/1": head}), {"us/1": here})
        else:
            here = min(head, here + size)
        since = settled(known, {"us/1": here}).since
        assert all(seq <= here for seq, at in committed_at.items() if at <= since)


def assignment(topology, roles, **more):
    return Assignment(3, topology, dict(zip(REGIONS, roles, strict=True)), **more)


def test_every_peer_counts_where_the_roles_are_not_known():
    assert counting(REGIONS, "eu", "any", None) == ("us", "ap")
    assert owed(REGIONS, None) == {}


def test_a_region_counts_until_an_epoch_has_begun_without_it():
    fenced = assignment("active-active", ("active", "fenced", "active"), revoked={"us": 3})
    assert counting(REGIONS, "eu", "any", fenced) == ("us", "ap")
    cut = assignment("active-active", ("active", "down", "active"), revoked={"us": 2}, cuts=(Cut(3, "us/1", 7),))
    assert counting(REGIONS, "eu", "any", cut) == ("ap",)
    assert owed(("eu", "ap"), cut) == {"us/1": 7}


def test_active_rows_come_from_who_holds_the_right_or_held_it_in_this_epoch():
    calm = assignment("active-passive", ("standby", "active", "standby"))
    assert counting(REGIONS, "eu", "active", calm) == ("us",)
    assert counting(REGIONS, "us", "active", calm) == ()
    fenced = assignment("active-passive", ("standby", "fenced", "standby"), revoked={"us": 3})
    assert counting(REGIONS, "eu", "active", fenced) == ("us",)
    moved = assignment("active-passive", ("active", "fenced", "standby"), revoked={"us": 2})
    assert counting(REGIONS, "ap", "active", moved) == ("eu",)
