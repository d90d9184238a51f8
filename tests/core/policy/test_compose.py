"""Composition: one order, and a call passes all gates or none."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.policy.breaker import Breaker, Circuit
from proa.core.policy.bulkhead import Bulkhead, Places, Turn
from proa.core.policy.compose import ORDER, Gates, Policies
from proa.core.policy.limiter import Limit, Limiter
from proa.core.policy.refusal import Refusal

ALL = Policies(
    breaker=Breaker(min_calls=2, window_calls=4, open_s=5, half_open_calls=1),
    limiter=Limit(100),
    bulkhead=Bulkhead(1, max_waiting=1, wait_s=2),
)


def open_of(gates, now):
    gates.circuit.force("open", now)
    gates.circuit.forced = False


def test_gates_stand_in_the_one_order():
    kinds = {"breaker": Circuit, "limiter": Limiter, "bulkhead": Places}
    expected = [kinds[layer.name] for layer in ORDER if layer.name in kinds]
    assert [type(gate) for gate in Gates(ALL).gates] == expected


def test_a_refusal_gives_back_what_outer_gates_granted():
    gates = Gates(ALL)
    gates.enter(0.0)
    gates.enter(0.0)
    open_of(gates, 1.0)
    assert gates.enter(7.0) == Refusal("bulkhead")  # half-open by now: the quota of one was granted and given back
    assert (gates.circuit.state, gates.circuit.enter(7.0)) == ("half-open", None)


def test_who_waited_asks_the_breaker_again_if_it_changed():
    gates = Gates(ALL)
    gates.enter(0.0)
    turn = gates.enter(0.0)
    open_of(gates, 0.5)
    gates.leave(0.0, 1.0, failed=False)
    assert (turn.came, gates.called(turn, 1.0), gates.places.running) == (True, Refusal("breaker", 4.5), 0)


def test_who_waited_passes_where_nothing_changed():
    gates = Gates(ALL)
    gates.enter(0.0)
    turn = gates.enter(0.0)
    gates.leave(0.0, 1.0, failed=False)
    assert (gates.called(turn, 1.0), gates.places.running) == (None, 1)


def test_who_gives_up_takes_nothing_with_it():
    gates = Gates(ALL)
    gates.enter(0.0)
    turn = gates.enter(0.0)
    assert gates.give_up(turn, 2.0) == Refusal("bulkhead")
    assert (gates.places.waiting, gates.places.running) == (0, 1)


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["come", "good", "bad", "cancel", "give up"])), max_size=80))
def test_whatever_happens_places_are_given_back(acts):
    gates, now, running, turns = Gates(ALL), 0.0, [], []
    for gap, act in acts:
        now += gap
        if act == "come":
            verdict = gates.enter(now)
            if verdict is None:
                running.append(now)
            elif isinstance(verdict, Turn):
                turns.append(verdict)
        elif act == "give up" and turns:
            gates.give_up(turns.pop(), now)
        elif act != "give up" and running:
            gates.leave(running.pop(), now, {"good": False, "bad": True, "cancel": None}[act])
        for turn in [one for one in turns if one.came]:
            turns.remove(turn)
            if gates.called(turn, now) is None:
                running.append(now)
        assert gates.places.running == len(running)
