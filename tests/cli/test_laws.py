"""The laws of merges, tried on generated rows and values: what obeys them passes, what does not is shown."""

from dataclasses import dataclass, field

import pytest

from proa.app import App
from proa.cli.laws import broken_law
from proa.core.replicate import merge


@dataclass
class Level:
    id: str
    level: int = 0
    names: list[str] = field(default_factory=list)
    score: merge.Counter = field(default_factory=merge.Counter)


@dataclass
class Plain:
    id: str
    level: int = 0
    text: str = ""


def law(kind, policy):
    app = App("laws", regions=["eu", "us"])
    return broken_law(app.table("t", kind, key="id", merge=policy))


def everything_of(one, other):
    """The larger of each field: a join."""
    one.level, one.text, one.id = max(one.level, other.level), max(one.text, other.text), max(one.id, other.id)
    return one


def first(one, _):
    return one


def union(one, other):
    return sorted({*one, *other})


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        (Plain, merge.last_writer()),
        (Plain, merge.function(everything_of)),
        (Level, merge.fields()),
        (Level, merge.fields(level=max)),
    ],
)
def test_policies_that_obey_the_laws_pass(kind, policy):
    assert law(kind, policy) is None


@pytest.mark.parametrize(
    ("kind", "policy", "broken"),
    [
        (Plain, merge.function(first), "commutative"),
        (Plain, merge.function(lambda one, other: Plain("x", one.level + other.level)), "idempotent"),
        (Plain, merge.function(lambda one, other: one / other), "total"),
        (Level, merge.fields(level=lambda one, other: one + other), "idempotent"),
        (Level, merge.fields(level=lambda one, other: (one + other) // 2), "associative"),
        (Level, merge.fields(names=lambda one, other: [*one, *other]), "idempotent"),
    ],
)
def test_a_function_that_breaks_a_law_is_shown_with_what_shows_it(kind, policy, broken):
    assert law(kind, policy).startswith(broken)


def test_the_field_whose_function_breaks_a_law_is_named():
    assert law(Level, merge.fields(level=first)).endswith("(field level)")


def test_a_set_as_a_list_must_be_brought_into_one_order():
    assert law(Level, merge.fields(names=union)).startswith("idempotent")
