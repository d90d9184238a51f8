"""What the author promises: drills, alarms and advice judge against these."""

from __future__ import annotations

import msgspec

from proa.errors import DeclarationError


class Objectives(msgspec.Struct, frozen=True):
    """Recovery time and recovery point objectives in seconds, availability as a fraction; None: not promised.

    `rpo_s=0` promises that no acknowledged write is lost with a region.
    """

    rto_s: float | None = None
    rpo_s: float | None = None
    availability: float | None = None

    def __post_init__(self) -> None:
        for name in ("rto_s", "rpo_s"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise DeclarationError(f"{name} must not be negative, got {value:g}")
        if self.availability is not None and not 0 < self.availability <= 1:
            raise DeclarationError(f"availability is a fraction such as 0.9995, got {self.availability:g}")
