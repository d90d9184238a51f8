"""The bulkhead: so many at once, a short line behind them, and nobody waits in vain."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proa.core.policy.bulkhead import Bulkhead, Places, Turn
from proa.core.policy.refusal import Refusal
from proa.errors import DeclarationError


def test_who_comes_too_late_waits_and_who_comes_later_still_is_refused():
    places = Places(Bulkhead(1, max_waiting=1))
    first, second, third = (places.enter(0.0) for _ in range(3))
    assert (first, type(second), third) == (None, Turn, Refusal("bulkhead"))


def test_a_free_place_goes_to_the_first_who_still_waits():
    places, called = Places(Bulkhead(1, max_waiting=3, wait_s=1)), []
    places.enter(0.0)
    for number, at in enumerate((0.0, 0.5, 0.6)):
        places.enter(at).wake = lambda number=number: called.append(number)
    places.leave(0.0, 1.2, failed=False)
    assert (called, places.running, places.waiting) == ([1], 1, 1)


def test_a_turn_that_came_too_late_is_passed_on():
    places, called = Places(Bulkhead(1, max_waiting=2)), []
    places.enter(0.0)
    first, second = places.enter(0.0), places.enter(0.0)
    second.wake = lambda: called.append("second")
    places.leave(0.0, 0.5, failed=False)
    places.give_up(first, 0.5)
    assert (called, places.running) == (["second"], 1)


class Machine(RuleBasedStateMachine):
    """Calls come, wait, give up and end in any order: no more run than there are places, and none is lost."""

    def __init__(self):
        super().__init__()
        self.places = Places(Bulkhead(2, max_waiting=3, wait_s=1.0))
        self.now = 0.0
        self.running = 0
        self.turns = []

    def settle(self):
        self.running += sum(turn.came for turn in self.turns)
        self.turns = [turn for turn in self.turns if not turn.came]

    @rule(gap=st.floats(0, 1))
    def time_passes(self, gap):
        self.now += gap

    @rule()
    def one_comes(self):
        verdict = self.places.enter(self.now)
        if verdict is None:
            self.running += 1
        elif isinstance(verdict, Turn):
            self.turns.append(verdict)

    @precondition(lambda self: self.running)
    @rule()
    def one_ends(self):
        self.running -= 1
        self.places.leave(0.0, self.now, failed=False)
        self.settle()

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def one_gives_up(self, data):
        self.places.give_up(self.turns.pop(data.draw(st.integers(0, len(self.turns) - 1))), self.now)

    @invariant()
    def no_more_run_than_there_are_places(self):
        assert self.places.running == self.running <= 2
        assert self.places.waiting <= 3

    def teardown(self):
        for _ in range(self.running):
            self.one_ends()
        while self.running:
            self.one_ends()
        assert self.places.running == 0


TestMachine = Machine.TestCase


@pytest.mark.parametrize(
    "wrong", [{"max_concurrent": 0}, {"max_concurrent": 1, "max_waiting": -1}, {"max_concurrent": 1, "wait_s": 0}]
)
def test_a_value_that_cannot_work_is_refused(wrong):
    with pytest.raises(DeclarationError, match=list(wrong)[-1]):
        Bulkhead(**wrong)
