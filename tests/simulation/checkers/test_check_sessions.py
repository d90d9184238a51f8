"""Sessions: what a client has been past is not shown to it again, and losses are told of where there are any."""

from proa.core.roles import Cut
from proa.simulation.checkers.sessions import check
from proa.simulation.history import Control, Final
from support.histories import involved, op, store

CALM = Final({"eu": store(cursors={"eu/1": 3})}, store())
CUT = Final({"eu": store(cursors={"eu/1": 3})}, store(), control=Control(cuts=(Cut(2, "us/1", 4),)))
REBORN = Final({"eu": store(cursors={"eu/2": 3})}, store())


def write(number, value, key="s1", outcome="ok"):
    return op(number, "write", value, (value, "t"), key=key, outcome=outcome)


def read(number, value, key="s1"):
    return op(number, "read", 0, (value, "t"), key=key)


def told(number, key="s1"):
    return op(number, "read", 0, (None, "t"), key=key, outcome="failed")


def test_a_session_reads_what_it_wrote_or_more():
    assert check([write(1, 1), read(2, 1), write(3, 2, outcome="unknown"), read(4, 1), read(5, 2)], CALM) == []


def test_a_read_below_the_own_write_is_a_violation():
    assert involved(check([write(1, 2), read(2, 1)], CALM)) == [(1, 2)]


def test_a_read_below_an_earlier_read_is_a_violation():
    history = [write(1, 1), write(2, 2, outcome="unknown"), read(3, 2), read(4, 1)]
    assert involved(check(history, CALM)) == [(3, 4)]


def test_sessions_owe_nothing_to_each_other():
    assert check([write(1, 2), read(2, 0, key="s2")], CALM) == []


def test_a_session_that_was_told_of_a_loss_begins_anew():
    assert check([write(1, 2), told(2), read(3, 0)], CUT) == []
    assert involved(check([write(1, 2), told(2), read(3, 1), read(4, 0)], CUT)) == [(3, 4)]


def test_a_loss_is_told_of_only_where_a_region_was_cut_off_or_began_another_life():
    history = [write(1, 2), told(2), read(3, 0)]
    assert involved(check(history, CALM)) == [(2,)]
    assert check(history, REBORN) == []


def test_another_refusal_says_nothing():
    assert check([write(1, 2), op(2, "read", 0, None, key="s1", outcome="failed"), read(3, 2)], CALM) == []
