"""Who acts as home of which row, and what a region must know before it takes over."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proa.core.home import NOBODY, Place, Tenure, acting, following, goal, holders, stopped
from proa.core.roles import Assignment, Cut, Node

REGIONS = ("ap", "eu", "us", "za")
KEYS = st.text(max_size=20)
SOME = st.lists(st.sampled_from(REGIONS), unique=True, min_size=1).map(lambda some: tuple(sorted(some)))


def assignment(epoch=1, revoked=None, cuts=(), **roles):
    return Assignment(
        epoch,
        "active-active",
        {"eu": "active", "us": "active", "ap": "active"} | roles,
        revoked=revoked or {},
        cuts=cuts,
    )


def key_of(region, among=("ap", "eu", "us")):
    """A key whose home is `region`."""
    return next(Place(str(number)) for number in range(1000) if acting(Place(str(number)), among) == region)


# Homes.


def test_homes_are_spread_evenly():
    count = Counter(acting(Place(f"row {number}"), REGIONS) for number in range(40_000))
    assert all(abs(count[region] - 10_000) < 500 for region in REGIONS), count


@given(KEYS, SOME)
def test_a_home_is_one_of_the_holders_whatever_their_order(key, some):
    home = acting(Place(key), some)
    assert home in some
    assert acting(Place(key), tuple(reversed(some))) == home


@given(KEYS, SOME, st.sampled_from(REGIONS))
def test_losing_a_region_moves_its_rows_alone_and_its_return_moves_them_back(key, some, lost):
    left = tuple(region for region in some if region != lost)
    before, after = acting(Place(key), some), acting(Place(key), left)
    assert after == (before if before != lost else acting(Place(key), left))
    assert before in (lost, after)


def test_the_rows_of_a_lost_region_go_to_all_others():
    rows = [Place(str(number)) for number in range(3000) if acting(Place(str(number)), REGIONS) == "eu"]
    count = Counter(acting(place, ("ap", "us", "za")) for place in rows)
    assert all(count[region] > len(rows) / 4 for region in ("ap", "us", "za")), count


@given(KEYS)
def test_a_row_that_names_its_home_is_there_while_that_holds_the_right(key):
    assert acting(Place(key, "us"), REGIONS) == "us"
    assert acting(Place(key, "us"), ("eu", "za")) == acting(Place(key), ("eu", "za"))


def test_the_home_of_a_row_that_only_some_regions_may_hold_is_one_of_those():
    homes = {acting(Place(str(number), "", ("eu", "us")), REGIONS) for number in range(100)}
    assert homes == {"eu", "us"}
    assert acting(Place("a", "za", ("eu",)), REGIONS) == "eu"
    assert acting(Place("a", "", ("eu",)), ("us", "za")) is None


def test_where_nobody_holds_a_right_there_is_no_home():
    assert acting(Place("a"), NOBODY) is None


def test_homes_stay_the_same_in_every_version_of_proa():
    """Regions of different versions must agree."""
    assert [acting(Place(key), ("ap", "eu", "us")) for key in ("", "a", "b", "ä", "\ud800")] == [
        "us",
        "us",
        "ap",
        "eu",
        "ap",
    ]


# Holders.


def test_a_region_whose_right_was_withdrawn_keeps_its_rows_until_the_next_epoch():
    assert holders(assignment(eu="fenced", revoked={"eu": 1})) == ("ap", "eu", "us")
    assert holders(assignment(2, eu="down", revoked={"eu": 1})) == ("ap", "us")
    assert holders(assignment(3)) == ("ap", "eu", "us")


def test_standbys_hold_nothing():
    assert holders(assignment(us="standby", ap="standby")) == ("eu",)


# Tenure.


def test_in_the_first_epoch_of_its_first_disk_a_region_has_nothing_to_take_over():
    assert following(None, assignment(), newborn=True).complete
    assert not following(None, assignment(), newborn=False).complete
    assert not following(None, assignment(2), newborn=True).complete


def test_rows_that_stayed_may_be_written_on_and_those_that_came_wait():
    before = following(None, assignment(), newborn=True)
    after = following(before, assignment(2, eu="down", revoked={"eu": 1}), newborn=True)
    stayed = key_of("us")
    came = next(
        Place(str(number))
        for number in range(1000)
        if acting(Place(str(number)), ("ap", "eu", "us")) == "eu" and acting(Place(str(number)), ("ap", "us")) == "us"
    )
    assert (after.home_of(stayed), after.holds("us", stayed)) == ("us", True)
    assert (after.home_of(came), after.holds("us", came)) == ("us", False)
    assert after.taken_over().holds("us", came)
    assert not after.taken_over().holds("ap", came)


def test_a_row_that_went_and_came_back_before_anything_was_taken_over_waits():
    tenure = Tenure(1, (("ap", "eu", "us"),))
    tenure = following(tenure, assignment(2, eu="down", revoked={"eu": 1}), newborn=True)
    tenure = following(tenure, assignment(3), newborn=True)
    assert tenure.lines == (("ap", "eu", "us"), ("ap", "us"), ("ap", "eu", "us"))
    assert tenure.holds("us", key_of("us"))
    assert not tenure.holds("eu", key_of("eu"))


def test_after_an_epoch_that_was_missed_every_row_waits():
    tenure = following(Tenure(1, (("ap", "eu", "us"),)), assignment(3), newborn=True)
    assert not any(tenure.holds(region, key_of(region)) for region in ("ap", "eu", "us"))


# Taking over.


def node(name, stopped=0, **cursors):
    return Node(
        name, "region", "boot", 1, 1.0, stopped=stopped, cursors={f"{of}/1": seq for of, seq in cursors.items()}
    )


def test_a_region_is_known_to_have_stopped_from_its_first_beat_in_the_epoch():
    nodes = {"us": node("us", 1, us=7), "ap": node("ap", 2, ap=3)}
    known = stopped(nodes, {}, 2)
    assert known == {"ap": {"ap/1": 3}}
    assert stopped({"us": node("us", 2, us=9), "ap": node("ap", 2, ap=5)}, known, 2) == {"us": {"us/1": 9}}


def test_a_stand_in_waits_for_every_other_holder_and_for_the_cut():
    lost = assignment(2, eu="down", revoked={"eu": 1}, cuts=(Cut(2, "eu/1", 40),))
    assert goal(lost, "us", {}) is None
    assert goal(lost, "us", {"ap": {"ap/1": 5, "eu/1": 38}}) == {"ap/1": 5, "eu/1": 40}


def test_a_region_that_returned_waits_for_its_stand_ins_alone():
    back = assignment(3, cuts=(Cut(2, "eu/1", 40),))
    assert goal(back, "eu", {"us": {"us/1": 9}}) is None
    assert goal(back, "eu", {"us": {"us/1": 9}, "ap": {"ap/1": 5, "us/1": 8}}) == {"eu/1": 40, "us/1": 9, "ap/1": 5}


def test_the_latest_cut_of_an_origin_counts_even_where_it_is_earlier():
    """Whoever had the rest of it was lost too."""
    lost = assignment(3, eu="down", ap="down", revoked={"eu": 1, "ap": 2})
    cuts = (Cut(2, "eu/1", 40), Cut(3, "ap/1", 6), Cut(3, "eu/1", 38))
    assert goal(Assignment(3, lost.topology, lost.roles, revoked=lost.revoked, cuts=cuts), "us", {}) == {
        "ap/1": 6,
        "eu/1": 38,
    }


def test_an_origin_that_lives_on_after_a_cut_is_waited_for_as_far_as_it_went():
    back = assignment(4, cuts=(Cut(2, "eu/1", 40),))
    assert goal(back, "us", {"ap": {}, "eu": {"eu/1": 55}}) == {"eu/1": 55}
