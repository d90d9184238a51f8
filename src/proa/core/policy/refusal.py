"""Refusal: a gate's no, before anything of a call was done."""

from __future__ import annotations

from math import ceil

import msgspec

from proa.errors import BreakerOpen, BulkheadFull, CallRefused, RateExceeded

ERRORS: dict[str, type[CallRefused]] = {"breaker": BreakerOpen, "limiter": RateExceeded, "bulkhead": BulkheadFull}


class Refusal(msgspec.Struct, frozen=True):
    """Which gate refused a call, and in how many seconds it is worth asking again (0: it cannot say)."""

    gate: str
    retry_after_s: float = 0.0

    def error(self, of: str) -> CallRefused:
        """What the caller of `of` is told."""
        headers = {"retry-after": str(ceil(self.retry_after_s))} if 0 < self.retry_after_s < float("inf") else {}
        return ERRORS[self.gate](f"{of} was not called", headers=headers)
