"""Registers: the search agrees with trying every order, and a violation names what contradicts each other."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from proa.simulation.checkers.register import Verdict, check, judge, linearizable
from proa.simulation.history import NEVER, Final
from support.histories import commit, involved, op, regional, row, store, strong


def value(of):
    return of.value


# Against brute force.


def applies(one, held):
    """The value after an operation, or False where its answer says otherwise."""
    if one.action == "read":
        return (held,) if one.result == held else False
    if one.action == "write":
        return (one.argument,)
    expected, new = one.argument
    if one.outcome == "ok" and one.result != (held == expected):
        return False
    return (new if held == expected else held,)


def explains(order):
    held = None
    for index, one in enumerate(order):
        if any(later.ended < one.began for later in order[index:]):
            return False
        after = applies(one, held)
        if after is False:
            return False
        (held,) = after
    return True


def some_order_explains(operations):
    """Tries all orders of what was answered, with every choice of what was not."""
    surely = [one for one in operations if one.outcome == "ok"]
    perhaps = [one for one in operations if one.outcome == "unknown" and one.action != "read"]
    chosen = [[one for bit, one in enumerate(perhaps) if mask >> bit & 1] for mask in range(1 << len(perhaps))]
    return any(explains(order) for some in chosen for order in permutations(surely + some))


small = st.sampled_from([None, 1, 2])


@st.composite
def histories(draw):
    operations = []
    for number in range(draw(st.integers(0, 5))):
        action = draw(st.sampled_from(["read", "write", "cas"]))
        began = draw(st.integers(0, 6))
        at = (began, began + draw(st.integers(0, 4)))
        outcome = draw(st.sampled_from(["ok", "ok", "ok", "unknown", "failed"]))
        argument = {"read": None, "write": draw(small), "cas": (draw(small), draw(small))}[action]
        result = {"read": draw(small), "write": None, "cas": draw(st.booleans())}[action]
        operations.append(op(number, action, argument, result if outcome == "ok" else None, at, outcome=outcome))
    return operations


@given(histories())
def test_the_search_finds_an_order_exactly_when_there_is_one(operations):
    assert linearizable(operations) == some_order_explains(operations)


@given(histories())
def test_the_operations_that_a_violation_names_contradict_each_other_by_themselves(operations):
    for violation in check(operations, Final({}, store()), "registers", "strong", value):
        named = [one for one in operations if one.number in violation.operations]
        if violation.detail.endswith("final value"):
            assert not some_order_explains([*named, op(9, "read", at=(NEVER, NEVER))])
        else:
            shown = max(one.ended for one in named if one.outcome == "ok")
            assert not some_order_explains([known_at(shown, one) for one in named])


def known_at(end, one):
    """An operation as it was known then: what was still under way may have had any answer."""
    return one if one.ended <= end else op(one.number, one.action, one.argument, at=(one.began, 0), outcome="unknown")


# By hand.

W1 = op(0, "write", 1, at=(0, 1))
W2 = op(1, "write", 2, at=(2, 3))


def end(**values):
    return strong("registers", {key: row(value=held) for key, held in values.items()})


def test_a_good_history_has_no_violation():
    history = [
        W1,
        op(1, "cas", (1, 2), True, at=(2, 5)),
        op(2, "cas", (1, 3), False, at=(2, 6)),
        op(3, "read", result=2, at=(4, 5)),
        op(4, "write", 7, at=(0, 1), key="y"),
    ]
    assert check(history, end(x=2, y=7), "registers", "strong", value) == []


def test_a_stale_read_is_named_with_the_writes_that_it_contradicts():
    history = [W1, W2, op(2, "read", result=2, at=(4, 5)), op(3, "read", result=1, at=(6, 7))]
    (violation,) = check(history, end(x=2), "registers", "strong", value)
    assert violation.operations == (0, 1, 3)
    assert violation.detail == "register x: no order of its operations explains operation 3 (read)"


def test_a_value_that_nobody_wrote_is_named_by_its_read():
    history = [W1, op(1, "read", result=9, at=(2, 3))]
    assert involved(check(history, end(x=1), "registers", "strong", value)) == [(1,)]


def test_two_swaps_from_one_value_cannot_both_succeed():
    history = [
        op(0, "write", 5, at=(0, 1)),
        op(1, "write", 1, at=(2, 3)),
        op(2, "cas", (1, 2), True, at=(4, 6)),
        op(3, "cas", (1, 3), True, at=(4, 7)),
    ]
    assert involved(check(history, end(x=3), "registers", "strong", value)) == [(1, 2, 3)]


def test_an_acknowledged_write_that_the_end_lacks_is_a_violation():
    (violation,) = check([W1, W2], end(x=1), "registers", "strong", value)
    assert violation.operations == (0, 1)
    assert violation.detail == "register x: no order of its operations explains its final value"


def test_a_write_without_an_answer_may_come_late_or_never():
    lost = op(0, "write", 1, at=(0, 1), outcome="unknown")
    for last in (1, 2):
        assert check([lost, W2], end(x=last), "registers", "strong", value) == []


def test_a_write_that_failed_must_not_show():
    failed = op(0, "write", 1, at=(0, 1), outcome="failed")
    assert involved(check([failed, op(1, "read", result=1, at=(2, 3))], end(), "registers", "strong", value)) == [(1,)]


def test_attempts_under_one_key_take_effect_once():
    attempts = [
        op(0, "write", 1, at=(0, 1), outcome="unknown", idempotency_key="k"),
        op(1, "write", 1, at=(2, 3), idempotency_key="k"),
        op(2, "write", 2, at=(4, 5)),
        op(3, "write", 1, at=(6, 7), idempotency_key="k"),
    ]
    assert check(attempts, end(x=2), "registers", "strong", value) == []
    assert involved(check(attempts, end(x=1), "registers", "strong", value)) == [(1, 2)]


def test_a_search_that_takes_too_long_is_undecided_and_no_violation():
    history = [op(number, "write", number, at=(0, 9)) for number in range(12)]
    history.append(op(12, "read", result=99, at=(0, 9)))
    assert judge(history, end(), "registers", "strong", value, steps_max=500) == Verdict([], ("x",))


def test_a_register_whose_loss_is_listed_is_undecided():
    lost = commit("eu/1", 1, {"x": b"1"}, key="k")
    write = op(0, "write", 1, idempotency_key="k", region="eu")
    final = regional("t", {}, us={})
    final = Final({"eu": store(parked=[lost]), "us": store()}, final.global_store)
    assert judge([write], final, "t", "active", value) == Verdict([], ("x",))
    assert involved(check([write], regional("t", {}), "t", "active", value)) == [(0,)]
