"""Backlogs hand out each message that waits once at a time, in order, out of bounded memory."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proa.core import backlog
from proa.core.backlog import Backlog, Window
from proa.core.queue import Spot, spot


def where(number, due_ms=0, band="5", group=""):
    return Spot("q", "eu", band, due_ms, f"{number:06}", group)


def waiting(*spots):
    made = Backlog(0.0)
    made.looked = True
    for one in spots:
        made.arrived(one.key, one.band)
    return made


def test_messages_are_handed_out_as_they_become_due():
    made = waiting(where(1, 3000), where(2, 1000), where(3, 2000))
    assert [spot(key).id for key in made.take_some(9, 2.0)] == ["000002", "000003"]
    assert made.due_at() == 3.0
    assert made.take(2.9) is None


def test_lower_priorities_go_first():
    made = waiting(where(1, band="7"), where(2, band="0"), where(3, band="5"))
    assert [spot(key).band for key in made.take_some(9, 1.0)] == ["0", "5", "7"]


def test_a_message_that_is_out_is_not_handed_out_again():
    made = waiting(where(1))
    key = made.take(1.0)
    assert not made.arrived(where(1).key, where(1).band)
    assert (made.take(1.0), made.depth) == (None, 1)
    made.done(key)
    assert made.depth == 0


def test_one_that_is_put_back_waits_until_its_time():
    made = waiting(where(1))
    made.put_back(made.take(1.0), 5.0)
    assert (made.take(4.9), made.due_at(), made.depth) == (None, 5.0, 1)
    assert spot(made.take(5.0)).id == "000001"


def test_messages_of_a_group_go_one_after_the_other_and_hold_up_no_other_group():
    made = waiting(where(1, group="a", band="g1"), where(2, group="a", band="g1"), where(3, group="b", band="g1"))
    first, other = made.take_some(9, 1.0)
    assert [spot(first).id, spot(other).id] == ["000001", "000003"]
    made.put_back(first, 9.0)
    assert made.take(8.0) is None
    assert made.take(9.0) == first
    made.done(first)
    assert spot(made.take(9.0)).id == "000002"


def test_a_group_that_has_waited_longest_goes_first_whatever_its_share():
    made = waiting(where(1, 2000, "g09", "a"), where(2, 1000, "g44", "b"))
    assert [spot(key).group for key in made.take_some(9, 3.0)] == ["b", "a"]


def test_a_new_window_knows_nothing_until_it_was_told():
    window = Window(empty=False)
    assert not window.arrived("a")
    assert window.wants_more
    assert window.begin() == ""
    window.arrived("c")
    window.extend(["a", "b"], None)
    assert [window.take() for _ in range(3)] == ["a", "b", "c"]


def test_what_arrives_behind_a_new_horizon_is_counted_and_not_kept():
    window = Window(empty=False)
    window.begin()
    window.arrived("z")
    window.extend(["a"], "b")
    assert (window.first(), len(window)) == ("a", 1 + window.beyond)
    assert not window.arrived("y")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(backlog, "WINDOW", 8)


class Machine(RuleBasedStateMachine):
    """A backlog beside the rows that it should know of, with a store that is asked for more when it wants some."""

    def __init__(self):
        super().__init__()
        self.rows: dict[str, Spot] = {}
        self.out: list[str] = []
        self.number = 0
        self.small = backlog.WINDOW
        backlog.WINDOW = 4
        self.made = Backlog(0.0)
        self.made.looked = True

    def teardown(self):
        backlog.WINDOW = self.small

    @rule(due_ms=st.integers(0, 50), group=st.sampled_from(["", "a", "b"]))
    def arrive(self, due_ms, group):
        self.number += 1
        one = where(self.number, due_ms, "g01" if group else "5", group)
        self.rows[one.key] = one
        self.made.arrived(one.key, one.band)

    @rule()
    def read_on(self):
        for band in list(self.made.wanting()):
            horizon = self.made.window(band).begin()
            found = sorted(key for key in self.rows if self.rows[key].band == band and key >= horizon)[:3]
            self.made.extend(band, found, found[-1] + "\x01" if len(found) == 3 else None)

    @rule(now=st.floats(0, 0.1))
    def take(self, now):
        key = self.made.take(now)
        if key is not None:
            assert key not in self.out
            group = spot(key).group
            assert not group or all(spot(other).group != group for other in self.out)
            self.out.append(key)

    @precondition(lambda self: self.out)
    @rule()
    def finish(self):
        key = self.out.pop(0)
        del self.rows[key]
        self.made.done(key)

    @precondition(lambda self: self.out)
    @rule()
    def again(self):
        self.made.put_back(self.out.pop(), 0.05)

    @invariant()
    def memory_is_bounded(self):
        assert all(len(window._known) <= 2 * backlog.WINDOW + 1 for window in self.made.windows.values())

    def drained(self):
        """Everything that waits is handed out in the end."""
        while self.out:
            self.finish()
        for _ in range(4 * len(self.rows) + 8):
            self.read_on()
            self.take(1.0)
            if self.out:
                self.finish()
        assert self.rows == {}


class Draining(Machine):
    def teardown(self):
        self.drained()
        super().teardown()


TestBacklog = Draining.TestCase
TestBacklog.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
