"""Money: every complete view has one total, and each acknowledged transfer counts once."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from proa.simulation.checkers import bank
from support.histories import involved, op, regional, row, strong

OPENING = {"a": 10, "b": 10, "c": 10}
AB = op(0, "transfer", ("a", "b", 3))
UNKNOWN = op(1, "transfer", ("b", "c", 5), outcome="unknown")


def held(**balances):
    return {account: row(balance=balance) for account, balance in balances.items()}


def check(history, final, mode="strong"):
    return bank.check(history, final, "bank", mode, opening=OPENING, balance_of=lambda account: account.balance)


def test_a_good_history_has_no_violation():
    history = [AB, UNKNOWN, op(2, "read", result={"a": 7, "b": 13, "c": 10})]
    assert check(history, strong("bank", held(a=7, b=13, c=10))) == []
    assert check(history, strong("bank", held(a=7, b=8, c=15))) == []


def test_a_read_of_another_total_is_a_violation():
    (violation,) = check([op(4, "read", result={"a": 7, "b": 10, "c": 10})], strong("bank", held(**OPENING)))
    assert (violation.operations, violation.detail) == ((4,), "read 4 saw a total of 27, not 30")


def test_no_account_is_overdrawn():
    (violation,) = check([op(4, "read", result={"a": -1, "b": 21, "c": 10})], strong("bank", held(**OPENING)))
    assert violation.detail == "read 4 saw a negative balance of a"


def test_money_that_is_gone_at_the_end_is_a_violation():
    found = check([AB], strong("bank", held(a=7, b=10, c=10)))
    assert involved(found) == [(), (0,)]
    assert found[0].detail == "global holds a total of 27, not 30"


def test_an_acknowledged_transfer_counts_once_not_never_and_not_twice():
    for wrong in (held(a=10, b=10, c=10), held(a=4, b=16, c=10)):
        assert involved(check([AB], strong("bank", wrong))) == [(0,)]


def test_attempts_under_one_key_count_once():
    attempts = [op(number, "transfer", ("a", "b", 3), idempotency_key="k") for number in range(3)]
    assert check(attempts, strong("bank", held(a=7, b=13, c=10))) == []
    assert involved(check(attempts, strong("bank", held(a=4, b=16, c=10)))) == [(0,)]


def test_a_transfer_that_failed_does_not_count():
    failed = op(0, "transfer", ("a", "b", 3), outcome="failed")
    assert len(check([failed], strong("bank", held(a=7, b=13, c=10)))) == 1


def test_every_region_is_judged():
    (violation,) = check([AB], regional("bank", held(a=7, b=13, c=10), us=held(a=10, b=10, c=10)), "active")
    assert violation.detail == "us counts the transfers of a, b other than once: off by [3, -3]"


moves = st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(1, 4))


@given(st.lists(moves, max_size=6), st.tuples(*[st.integers(-6, 6)] * 3))
def test_unknown_transfers_explain_a_gap_exactly_when_a_choice_of_them_does(unknown, gap):
    def moved(source, target, amount):
        return tuple(amount * ((account == target) - (account == source)) for account in "abc")

    vectors = [moved(*move) for move in unknown]
    chosen = (
        [v for v, taken in zip(vectors, mask, strict=True) if taken] for mask in product([0, 1], repeat=len(vectors))
    )
    expected = any(tuple(map(sum, zip((0, 0, 0), *some, strict=True))) == gap for some in chosen)
    history = [op(number, "transfer", move, outcome="unknown") for number, move in enumerate(unknown)]
    balances = held(**{account: OPENING[account] + off for account, off in zip("abc", gap, strict=True)})
    miscounted = [found for found in check(history, strong("bank", balances)) if "other than once" in found.detail]
    assert (miscounted == []) == expected
