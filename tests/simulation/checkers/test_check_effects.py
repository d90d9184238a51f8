"""Effects: one key, one row, one answer; a pair that two regions made is listed."""

from msgspec.structs import replace

from proa.simulation.checkers import effects
from proa.simulation.history import Final
from support.histories import commit, involved, op, outcome, regional, row, store, strong

FIRST = op(0, "charge", result=(200, b"1"), idempotency_key="k", region="eu")
AGAIN = op(1, "charge", result=(200, b"1"), idempotency_key="k", region="eu", at=(2, 3))
OTHER = op(2, "charge", result=(200, b"2"), idempotency_key="k", region="us", at=(2, 3))


def check(history, final, mode="strong"):
    return effects.check(history, final, "t", mode, key_of=lambda held: held.key)


def rows(**keys):
    return {unit: row(key=key) for unit, key in keys.items()}


def two_units(duplicates=(), parked=()):
    """The end of a world in which two regions made the effect of k, their rows named after attempts of their own."""
    journal = {("eu/1", 1): commit("eu/1", 1, {"r1": b""}, key="k", unit="u1")}
    journal |= {("us/1", 1): commit("us/1", 1, {"r2": b""}, key="k", unit="u2")}
    state = store({"t": rows(r1="k", r2="k")}, journal=journal, duplicates=duplicates, parked=parked)
    state = replace(state, rows={**state.rows, ("t", "r2"): replace(state.rows["t", "r2"], origin="us/1")})
    return Final({"eu": state, "us": state}, store())


def test_one_row_and_equal_answers_are_no_violation():
    unknown = op(3, "charge", outcome="unknown", idempotency_key="j")
    assert check([FIRST, AGAIN, unknown], strong("t", rows(u1="k"))) == []
    assert check([FIRST, AGAIN, unknown], strong("t", rows(u1="k", u2="j"))) == []


def test_two_rows_under_one_key_are_a_violation():
    (violation,) = check([FIRST, AGAIN], strong("t", rows(u1="k", u2="k")))
    assert (violation.operations, violation.detail) == ((0, 1), "global has 2 rows under the key k")


def test_two_rows_of_regional_units_must_be_listed():
    pair = [(outcome("k", "u1"), outcome("k", "u2", region="us"))]
    assert check([FIRST, OTHER], two_units(pair), "any") == []
    found = check([FIRST, OTHER], two_units(), "any")
    assert [one.detail for one in found] == [
        "the key k was answered in different ways",
        "eu has 2 rows under the key k",
        "us has 2 rows under the key k",
    ]


def test_a_listed_pair_excuses_its_own_units_only():
    pair = [(outcome("k", "u1"), outcome("k", "u9", region="us"))]
    assert involved(check([FIRST], two_units(pair), "any")) == [(0,), (0,)]


def test_a_list_of_duplicates_excuses_nothing_where_one_region_decides():
    pair = [(outcome("k", "u1"), outcome("k", "u2", region="us"))]
    assert involved(check([FIRST], two_units(pair), "active")) == [(0,), (0,)]


def test_different_answers_under_one_key_are_a_violation():
    assert involved(check([FIRST, OTHER], strong("t", rows(u1="k")))) == [(0, 2)]


def test_an_answer_whose_commit_is_lost_may_differ():
    final = regional("t", rows(u2="k"), lost_disks=frozenset({"eu/1"}))
    assert check([FIRST, OTHER], final, "any") == []
    assert involved(check([FIRST, OTHER], regional("t", rows(u2="k")), "any")) == [(0, 2)]


def test_an_acknowledged_effect_is_there_and_a_failed_one_is_not():
    failed = op(4, "charge", outcome="failed", idempotency_key="f")
    assert involved(check([FIRST, failed], strong("t", rows(u1="f")))) == [(0,), (4,)]


def test_an_effect_that_no_request_asked_for_is_a_violation():
    (violation,) = check([], strong("t", rows(u1="z")))
    assert violation.detail == "global has an effect under the key z, which no request had"
