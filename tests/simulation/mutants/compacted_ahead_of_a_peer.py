"""Entries go when they are old, although a peer lacks them, and the peer is not told that it needs a snapshot."""

from proa.core.replicate.compaction import Retention
from proa.runtime import replicator


def plant(replace):
    replace(Retention, "drops", lambda self, commit: commit.stamp <= self.old)
    replace(replicator, "lacking", lambda _after, _floors: {})
