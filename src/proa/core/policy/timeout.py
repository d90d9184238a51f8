"""Time-out: how long one attempt of a call may take.

It bounds each attempt, not the call: what the call may take in all is the unit's own deadline, which is never exceeded.
"""

from __future__ import annotations

import msgspec

from proa.errors import DeclarationError


class Timeout(msgspec.Struct, frozen=True):
    """The seconds that one attempt may take."""

    seconds: float

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise DeclarationError(f"Timeout: seconds must be positive, got {self.seconds:g}")

    def limit_s(self) -> float:
        """What one attempt is given."""
        return self.seconds
