"""The situation: what is kept from one beat to the next must be what the rows say."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proa.core.failover import decide, idle
from proa.core.health import verdicts
from proa.core.replicate.journal import Row
from proa.core.roles import NODES, ROLES, ROLES_KEY, Assignment, Node, Observation
from proa.core.situation import Rules, Situation, fold

REGIONS = ("eu", "us")
RULES = Rules(REGIONS, "witness", ("edge",), "active-active", "eu", lease_s=4.0)
OPINIONS = st.dictionaries(
    st.sampled_from(REGIONS), st.sampled_from([Observation(live=True, deep="pass"), Observation(live=False)])
)
BEATS = st.tuples(
    st.sampled_from((*REGIONS, "witness", "edge")), OPINIONS, st.booleans(), st.booleans(), st.floats(0, 3)
)


def row(table, key, version, value):
    data = None if value is None else msgspec.msgpack.encode(value)
    return Row(table, key, data, version << 16, "global/1", version, {}, version)


def told_by_fresh_nodes(situation, now):
    fresh = {name: known.node.seen for name, known in situation.nodes.items() if situation.fresh(name, now)}
    return verdicts(RULES.juries, fresh)


@given(st.lists(BEATS, max_size=20), st.floats(0, 10))
def test_the_verdicts_are_those_of_the_fresh_nodes_whatever_came_before(beats, later):
    situation, now = Situation(RULES), 0.0
    for version, (name, seen, ended, gone, pause) in enumerate(beats, start=1):
        now += pause
        node = Node(name, "region", "boot", version, 4.0, seen=seen, ended=ended)
        situation = fold(situation, [row(NODES, name, version, None if gone else node)], version, now, now)
        assert situation.verdicts(now) == told_by_fresh_nodes(situation, now)
        assert {region: each.verdict for region, each in situation.standing.items()} == situation.verdicts(now)
    assert situation.verdicts(now + later) == told_by_fresh_nodes(situation, now + later)


def test_a_row_that_the_store_kept_back_was_heard_when_it_was_written():
    told = [row(NODES, "eu", 1, Node("eu", "region", "boot", 1, 4.0, origin="eu/1"))]
    known = fold(Situation(RULES), told, 1, 0.0, 10.0, [1.01]).nodes["eu"]
    assert (known.heard_at, known.lease.since, known.reports[0].at) == (9.0, 9.0, 9.0)


def test_a_node_is_not_heard_earlier_than_before():
    nodes = [Node("eu", "region", "boot", counter, 4.0) for counter in (1, 2)]
    situation = fold(Situation(RULES), [row(NODES, "eu", 1, nodes[0])], 1, 0.0, 10.0)
    assert fold(situation, [row(NODES, "eu", 2, nodes[1])], 2, 0.0, 10.5, [1.01]).nodes["eu"].heard_at == 10.0


@given(st.lists(BEATS, max_size=20))
def test_a_controller_that_is_idle_would_do_nothing(beats):
    roles = Assignment(1, "active-active", {"eu": "active", "us": "active"})
    situation = fold(Situation(RULES), [row(ROLES, ROLES_KEY, 1, roles)], 1, 0.0, 0.0)
    for version, (name, seen, ended, _, pause) in enumerate(beats, start=2):
        node = Node(name, "region", "boot", version, 4.0, ready=True, seen=seen, ended=ended)
        situation = fold(situation, [row(NODES, name, version, node)], version, 0.0, pause)
        assert idle(situation, "us", pause) == (decide(situation, "us", pause) == [])
