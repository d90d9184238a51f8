"""Merging rows: covered versions give way, concurrent ones meet the policy, replicas converge."""

import random

from hypothesis import given
from hypothesis import strategies as st

from proa.core.replicate.journal import Row
from proa.core.replicate.merge import last_writer, resolve
from proa.core.replicate.stamp import covers, join

ORIGINS = ["eu/1", "us/1", "ap/1"]


def history(seed, length):
    """Rows as three regions write them, each having seen a random part of the others' rows so far."""
    rng = random.Random(seed)
    written, seqs, stamp = [], dict.fromkeys(ORIGINS, 0), 0
    for _ in range(length):
        origin = rng.choice(ORIGINS)
        seqs[origin] += 1
        stamp += rng.randint(1, 3)
        versions = {origin: seqs[origin]}
        for row in written:
            if row.origin == origin or rng.random() < 0.4:
                versions = join(versions, row.versions)
        written.append(Row("t", "k", b"%d" % len(written), stamp, origin, seqs[origin], versions, 0))
    return written


def merged(rows):
    kept = None
    for row in rows:
        kept, _ = resolve(last_writer(), kept, row)
    return kept


@given(st.integers(0, 10_000), st.integers(1, 12), st.randoms(use_true_random=False))
def test_replicas_converge_in_any_order_with_any_repetition(seed, length, rng):
    rows = history(seed, length)
    other = rows + rng.sample(rows, rng.randint(0, len(rows)))
    rng.shuffle(other)
    assert merged(other) == merged(rows)


def row(origin, seq, stamp, versions=None):
    return Row("t", "k", b"v", stamp, origin, seq, versions or {origin: seq}, 0)


def test_a_version_that_has_seen_the_other_replaces_it_whatever_the_stamps_say():
    old = row("eu/1", 1, stamp=100)
    new = row("us/1", 1, stamp=1, versions={"eu/1": 1, "us/1": 1})
    assert resolve(last_writer(), old, new) == (new, "newer")
    assert resolve(last_writer(), new, old) == (new, "older")


def test_concurrent_versions_are_decided_by_stamp_then_region_then_incarnation():
    for winner, loser in [
        (row("eu/1", 1, stamp=2), row("us/1", 1, stamp=1)),
        (row("us/1", 1, stamp=1), row("eu/1", 1, stamp=1)),
        (row("eu/2", 1, stamp=1), row("eu/1", 9, stamp=1)),
        (row("eu/10", 1, stamp=1), row("eu/9", 1, stamp=1)),
    ]:
        kept, rule = resolve(last_writer(), loser, winner)
        assert (kept.dot, rule) == (winner.dot, "concurrent")
        assert covers(kept.versions, loser.versions)
