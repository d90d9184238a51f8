"""What streams made, against the changes that stand."""

from types import SimpleNamespace

from proa.simulation.checkers import streams
from proa.simulation.history import Final
from support.histories import commit, store

CHANGES = {("eu/1", seq): commit("eu/1", seq, {key: b"v"}) for seq, key in ((1, "a"), (2, "b"))}


def end(*told, **floors):
    """Two regions that hold the changes of eu, told as (key, unit)."""
    changes = [SimpleNamespace(key=key, unit=unit) for key, unit in told]
    made = {"told": {"eu": SimpleNamespace(changes=changes)}}
    return Final({name: store(made, journal=CHANGES, floors=floors.get(name, {})) for name in ("eu", "us")}, store())


def found(final):
    return [violation.detail.partition(", ")[2] for violation in streams.check(final, "t", "told")]


def test_each_change_told_once_and_in_order_is_right():
    assert found(end(("a", "eu/1:1"), ("b", "eu/1:2"))) == []


def test_a_change_told_twice_never_or_out_of_order_is_a_violation():
    assert (
        found(end(("a", "eu/1:1"), ("a", "eu/1:1"), ("b", "eu/1:2")))[0]
        == "[('a', 'eu/1:1')] took effect more than once"
    )
    assert found(end(("b", "eu/1:2"))) == ["[('a', 'eu/1:1')] took no effect"] * 2
    assert found(end(("b", "eu/1:2"), ("a", "eu/1:1"))) == ["those of eu/1 took effect in another order"] * 2


def test_a_row_that_was_told_as_it_stands_stands_for_its_changes_whichever_region_has_compacted_them():
    assert found(end(("a", ""), ("b", "eu/1:2"), us={"eu/1": 1})) == []
