"""The edge model does what the real Envoy did, for every recorded trace."""

from collections import Counter
from random import Random

import msgspec
import pytest
from edge_replay import replay
from edge_scripts import SCRIPTS
from edge_trace import TRACES, Seen, Trace

RECORDED = {
    trace.script.name: trace
    for trace in (msgspec.json.decode(file.read_bytes(), type=Trace) for file in sorted(TRACES.glob("*.json")))
}
SETTLED = [name for name, trace in RECORDED.items() if not trace.script.drawn]
DRAWN = [name for name, trace in RECORDED.items() if trace.script.drawn]
PHASES_S = (0.5, 0.57, 0.63)
"""The checks stand at another point of their round when the script begins; it must not matter."""
TOLERANCE_S = 0.06
RUNS = 5


def outcome(seen: Seen):
    return seen.status, seen.tried, seen.by


def test_every_script_is_recorded_as_it_stands():
    assert {name: trace.script for name, trace in RECORDED.items()} == {script.name: script for script in SCRIPTS}


@pytest.mark.parametrize("warm_s", PHASES_S)
@pytest.mark.parametrize("name", SETTLED)
def test_the_model_tries_the_same_regions_in_the_same_order_and_answers_the_same(name, warm_s):
    trace = RECORDED[name]
    actual = replay(trace.script, seed=1, warm_s=warm_s, order=Random(str(warm_s)))
    assert [(ask, outcome(each)) for ask, each in zip(trace.script.asks, actual, strict=True)] == [
        (ask, outcome(each)) for ask, each in zip(trace.script.asks, trace.seen, strict=True)
    ]
    late = [(each.took_s, real.took_s) for each, real in zip(actual, trace.seen, strict=True)]
    assert [pair for pair in late if abs(pair[0] - pair[1]) > TOLERANCE_S] == []


@pytest.mark.parametrize("name", DRAWN)
def test_where_chance_decides_the_shares_are_the_same(name):
    trace = RECORDED[name]
    recorded = Counter(outcome(each) for each in trace.seen)
    modelled = Counter(outcome(each) for seed in range(RUNS) for each in replay(trace.script, seed))
    n = len(trace.seen)
    differing = {
        what: (recorded[what] / n, modelled[what] / n / RUNS)
        for what in recorded | modelled
        if differ(recorded[what], modelled[what] / RUNS, n)
    }
    assert differing == {}


def differ(a: float, b: float, n: int) -> bool:
    """Whether two counts out of `n` are further apart than chance and a few requests at a change explain."""
    p = (a + b) / 2 / n
    return abs(a - b) > 4 * (2 * n * p * (1 - p)) ** 0.5 + 2


def test_the_same_seed_gives_the_same_run():
    script = RECORDED["one is busy"].script
    assert replay(script, seed=3) == replay(script, seed=3)
