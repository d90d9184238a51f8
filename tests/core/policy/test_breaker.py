"""The breaker: it opens by the rates of a window, lets a quota through, and judges by that alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proa.core.policy.breaker import NEXT, SLICES, Breaker, Circuit, LastSeconds
from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError

PLAIN = Breaker(window_calls=10, min_calls=4, open_s=5, half_open_calls=2)


def called(circuit, began, took_s=0.0, *, failed=False):
    verdict = circuit.enter(began)
    if verdict is None:
        circuit.leave(began, began + took_s, failed)
    return verdict


def opened(breaker=PLAIN, now=0.0):
    circuit = Circuit(breaker)
    for _ in range(breaker.min_calls):
        called(circuit, now, failed=True)
    assert circuit.state == "open"
    return circuit


def test_it_opens_when_enough_of_the_window_failed():
    circuit = Circuit(PLAIN)
    for failed in (False, False, True, False):
        called(circuit, 0.0, failed=failed)
    assert circuit.state == "closed"
    called(circuit, 1.0, failed=True)
    called(circuit, 1.0, failed=True)
    assert (circuit.state, circuit.changes[-1].cause, circuit.changes[-1].failure_rate) == ("open", "failures", 0.5)


def test_it_does_not_judge_by_fewer_calls_than_it_should():
    circuit = Circuit(PLAIN)
    for _ in range(3):
        called(circuit, 0.0, failed=True)
    assert circuit.state == "closed"


def test_it_opens_when_too_many_calls_are_slow():
    circuit = Circuit(Breaker(slow_s=1, slow_rate=0.5, window_calls=10, min_calls=4))
    for took_s in (0.1, 0.1, 1.0, 2.0):
        called(circuit, 0.0, took_s)
    assert (circuit.state, circuit.changes[-1].cause) == ("open", "slow calls")


def test_calls_that_left_the_window_do_not_count():
    circuit = Circuit(Breaker(window_calls=4, min_calls=4))
    for failed in (True, False, False, False, True, False, False, False, True):
        called(circuit, 0.0, failed=failed)
    assert circuit.state == "closed"


def test_a_window_of_time_forgets_what_is_older():
    circuit = Circuit(Breaker(window_s=10, min_calls=2))
    called(circuit, 0.0, failed=True)
    for at in (3.0, 6.0, 11.0):
        called(circuit, at)
    called(circuit, 12.0, failed=True)
    assert circuit.state == "closed"
    for at in (25.0, 25.1):
        called(circuit, at, failed=True)
    assert circuit.state == "open"


def test_open_it_says_when_to_come_back():
    circuit = opened()
    assert called(circuit, 2.0) == Refusal("breaker", 3.0)


def test_a_quota_that_does_well_closes_it():
    circuit = opened()
    assert [called(circuit, 5.0), called(circuit, 5.0), circuit.state] == [None, None, "closed"]


def test_a_quota_that_fails_opens_it_again_for_as_long():
    circuit = opened()
    called(circuit, 5.0)
    called(circuit, 5.0, failed=True)
    assert (circuit.state, called(circuit, 9.9), called(circuit, 10.0)) == (
        "open",
        Refusal("breaker", pytest.approx(0.1)),
        None,
    )


def test_no_more_than_the_quota_passes_while_it_is_not_judged():
    circuit = opened()
    assert [circuit.enter(5.0) for _ in range(3)] == [None, None, Refusal("breaker")]


def test_a_call_that_was_cancelled_gives_its_place_in_the_quota_back():
    circuit = opened()
    circuit.enter(5.0)
    circuit.leave(5.0, 5.5, None)
    assert [circuit.enter(6.0) for _ in range(3)] == [None, None, Refusal("breaker")]


def test_a_quota_that_never_answers_has_failed():
    circuit = opened()
    circuit.enter(5.0)
    circuit.enter(5.0)
    assert (circuit.enter(10.0), circuit.state) == (Refusal("breaker", 5.0), "open")


def test_what_began_before_it_opened_says_nothing_about_the_quota():
    circuit = Circuit(PLAIN)
    circuit.enter(0.0)
    for _ in range(4):
        called(circuit, 1.0, failed=True)
    circuit.enter(6.0)
    circuit.leave(0.0, 6.5, failed=True)
    circuit.leave(6.0, 6.5, failed=False)
    assert (circuit.state, called(circuit, 7.0), circuit.state) == ("half-open", None, "closed")


def test_forced_it_stays_until_it_is_released():
    circuit = Circuit(PLAIN)
    circuit.force("open", 0.0)
    assert called(circuit, 100.0) == Refusal("breaker")
    circuit.release(100.0)
    assert called(circuit, 100.0) is None
    circuit.force("closed", 101.0)
    for _ in range(20):
        assert called(circuit, 101.0, failed=True) is None


def test_it_heeds_another_regions_breaker_while_it_is_closed():
    circuit = Circuit(PLAIN)
    circuit.hear(2.0, now=10.0)
    assert (called(circuit, 11.0), called(circuit, 12.0), circuit.state) == (Refusal("breaker", 1.0), None, "half-open")


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3), st.floats(0, 2)), max_size=120))
def test_it_opens_exactly_when_a_bad_call_makes_the_rates_too_high(calls):
    """Beside a model that keeps the whole window."""
    breaker = Breaker(failure_rate=0.5, slow_s=1.5, slow_rate=0.6, window_calls=8, min_calls=3, open_s=1000)
    circuit, seen, now = Circuit(breaker), [], 0.0
    for failed, took_s, gap in calls:
        now += gap
        called(circuit, now, took_s, failed=failed)
        slow = (now + took_s) - now >= 1.5
        seen = [*seen, (failed, slow)][-8:]
        too_many = sum(one for one, _ in seen) / len(seen) >= 0.5 or sum(one for _, one in seen) / len(seen) >= 0.6
        if (failed or slow) and len(seen) >= 3 and too_many:
            assert circuit.state == "open"
            return
        assert circuit.state == "closed"


@given(
    st.floats(0.5, 60), st.lists(st.tuples(st.floats(0, 10), st.sampled_from([0, 1, 2, 3])), min_size=1, max_size=80)
)
def test_a_window_of_time_counts_what_is_young_and_nothing_that_is_old(seconds, calls):
    window, now, seen = LastSeconds(seconds), 1000.0, []
    for gap, mark in calls:
        now += gap
        window.add(mark, now)
        seen.append((now, mark))
    certain = [mark for at, mark in seen if at > now - seconds * (1 - 1 / SLICES) + 1e-6]
    possible = [mark for at, mark in seen if at > now - seconds - 1e-6]
    for counted, bit in ((window.failed, 1), (window.slow, 2)):
        assert sum(bool(mark & bit) for mark in certain) <= counted <= sum(bool(mark & bit) for mark in possible)
    assert len(certain) <= window.calls <= len(possible)


class Machine(RuleBasedStateMachine):
    """Calls begin and end in any order: the quota holds, and states follow each other as the table says."""

    def __init__(self):
        super().__init__()
        self.circuit = Circuit(Breaker(window_calls=6, min_calls=3, open_s=2, half_open_calls=2))
        self.now = 0.0
        self.running = []
        self.let = 0
        self.turns = 0
        self.states = ["closed"]

    def look(self):
        for change in self.circuit.changes[self.turns :]:
            assert change.state in NEXT[self.states[-1]]
            self.states.append(change.state)
        if self.circuit.turns != self.turns:
            self.turns, self.let = self.circuit.turns, 0

    @rule(gap=st.floats(0.01, 3))
    def time_passes(self, gap):
        self.now += gap

    @rule()
    def a_call_begins(self):
        passes = self.circuit.enter(self.now) is None
        self.look()
        if passes:
            self.running.append(self.now)
            self.let += 1

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.sampled_from([True, False, None]))
    def a_call_ends(self, data, failed):
        began = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.circuit.turns
        self.circuit.leave(began, self.now, failed)
        if failed is None and began >= self.circuit.since and before == self.circuit.turns:
            self.let -= 1
        self.look()

    @invariant()
    def no_more_than_the_quota_is_let_through(self):
        if self.circuit.state == "half-open":
            assert self.let <= 2


TestMachine = Machine.TestCase


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_rate": 0},
        {"slow_rate": 1.5},
        {"window_calls": 0},
        {"open_s": 0},
        {"min_calls": 200},
        {"window_s": -1},
    ],
)
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError, match=next(iter(wrong))):
        Breaker(**wrong)
