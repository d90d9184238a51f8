"""Hedge: when a call takes longer than most, make it once more and take the answer that comes first.

It cuts the slow tail at the price of a few extra calls, which the dependency's budget pays. Only a call that may be
made twice may be hedged. The second one may go elsewhere, to another region's replica. The delay is given, or follows
the calls: a percentile of how long the last ones took.

Source: Dean and Barroso, "The Tail at Scale" (2013).
"""

from __future__ import annotations

import msgspec

from proa.errors import DeclarationError

KEPT = 256
RECKONED_EVERY = 32
"""So many calls later the percentile is worked out anew."""


class Hedge(msgspec.Struct, frozen=True):
    """When the second call is made.

    Args:
        after_s: so long after the first; with a percentile, as long as too few calls are known.
        percentile: the share of calls that answer before the second one is made, such as 0.95; None: `after_s` stands.
    """

    after_s: float = 0.1
    percentile: float | None = None

    def __post_init__(self) -> None:
        if self.after_s <= 0:
            raise DeclarationError(f"Hedge: after_s must be positive, got {self.after_s:g}")
        if self.percentile is not None and not 0 < self.percentile < 1:
            raise DeclarationError(f"Hedge: percentile is a fraction such as 0.95, got {self.percentile:g}")


class Pace:
    """How long the last calls took, and so how long to wait for one."""

    __slots__ = ("_at", "_hedge", "_took", "after_s")

    def __init__(self, hedge: Hedge) -> None:
        self._hedge = hedge
        self._took: list[float] = []
        self._at = 0
        self.after_s = hedge.after_s

    def note(self, took_s: float) -> None:
        """A call was answered after so long."""
        if self._hedge.percentile is None:
            return
        if len(self._took) < KEPT:
            self._took.append(took_s)
        else:
            self._took[self._at % KEPT] = took_s
        self._at += 1
        if self._at % RECKONED_EVERY == 0:
            self.after_s = sorted(self._took)[int(len(self._took) * self._hedge.percentile)]
