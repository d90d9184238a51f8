"""What bounded reads show is taken to be as young as the answer that brought it, not as the question."""

from msgspec.structs import replace as with_fields

from proa.runtime.freshness import Freshness
from proa.runtime.snapshots import Snapshots


def plant(replace):
    heard, keep = Freshness.heard, Snapshots._keep

    def heard_now(freshness, peer, _asked_at, cursors):
        heard(freshness, peer, freshness._clock.monotonic(), cursors)

    def kept_now(snapshots, question, answer):
        return keep(snapshots, question, with_fields(answer, asked_at=snapshots._clock.monotonic()))

    replace(Freshness, "heard", heard_now)
    replace(Snapshots, "_keep", kept_now)
