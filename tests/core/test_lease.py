"""Holder and challenger never both believe that they may act."""

from hypothesis import given
from hypothesis import strategies as st

from proa.core.lease import DRIFT, beat_s, holder_until, listen_s, patience_s, watch, written_at
from proa.core.roles import Node


def node(counter=1, boot="a", lease_s=2.0):
    return Node("eu", "region", boot, counter, lease_s)


def test_the_challenger_counts_from_when_it_first_saw_a_renewal():
    first = watch(None, node(1), 10.0)
    again = watch(first, node(1), 11.0)
    assert again.since == 10.0
    assert not again.run_out(12.0)
    assert again.run_out(10.0 + patience_s(2.0))


def test_any_sign_of_life_starts_the_count_anew():
    first = watch(None, node(1), 10.0)
    assert watch(first, node(2), 11.0).since == 11.0
    assert watch(first, node(1, boot="b"), 11.0).since == 11.0
    assert watch(first, node(1, lease_s=5.0), 11.0).since == 11.0


@given(
    st.floats(0.5, 60.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 5.0),
    st.floats(-DRIFT / 2, DRIFT / 2),
    st.floats(-DRIFT / 2, DRIFT / 2),
)
def test_the_holder_stops_before_the_challenger_begins_on_any_clocks_within_the_drift(
    lease_s, to_store_s, to_challenger_s, holder_rate, challenger_rate
):
    sent_at = 1000.0
    holder_ends_at = sent_at + (holder_until(0.0, lease_s)) / (1 + holder_rate)
    seen_at = sent_at + to_store_s + to_challenger_s
    challenger_begins_at = seen_at + patience_s(lease_s) / (1 + challenger_rate)
    assert holder_ends_at < challenger_begins_at


@given(
    st.floats(0.5, 60.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 60.0),
    st.tuples(*[st.floats(-DRIFT / 2, DRIFT / 2)] * 3),
)
def test_nor_does_the_challenger_begin_too_early_where_the_store_kept_the_renewal_back(
    lease_s, on_the_way_s, kept_s, rates
):
    holder_rate, store_rate, challenger_rate = rates
    sent_at = 1000.0
    holder_ends_at = sent_at + holder_until(0.0, lease_s) / (1 + holder_rate)
    seen_at = sent_at + on_the_way_s + kept_s
    counts_from = written_at(0.0, kept_s * (1 + store_rate))  # on the challenger's clock, which showed 0 at `seen_at`
    challenger_begins_at = seen_at + (counts_from + patience_s(lease_s)) / (1 + challenger_rate)
    assert holder_ends_at < challenger_begins_at


def test_a_watcher_misses_no_beat():
    assert listen_s(beat_s(10.0)) < 0.9 * beat_s(10.0)


def test_beats_are_several_in_a_lease_and_in_an_rpo_but_never_a_storm():
    assert beat_s(10.0) == 1.0
    assert beat_s(1.0) == 0.25
    assert beat_s(2.0, rpo_s=1.0) == 0.4
    assert beat_s(0.1, rpo_s=0.01) == 0.1
