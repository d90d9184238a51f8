"""Budget: how many extra calls all callers of a dependency may make together.

Retries and hedges multiply the load on something that is already in trouble. So each call pays a fraction of a token
in, each extra one takes a whole token out, and where there is none the call fails as it stands: extra calls are never
more than `ratio` of the calls plus `burst`, whatever each caller would like.

Source: "retry throttling" of gRPC (proposal A6) and Finagle's retry budgets.
"""

from __future__ import annotations

import msgspec

from proa.errors import DeclarationError


class Budget(msgspec.Struct, frozen=True):
    """Extra calls as a share of calls.

    Args:
        ratio: what one call pays in: 0.1 allows one extra call for ten calls.
        burst: how many tokens are kept at most, and are there at first.
    """

    ratio: float = 0.1
    burst: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise DeclarationError(f"Budget: ratio is a fraction such as 0.1, got {self.ratio:g}")
        if self.burst < 1:
            raise DeclarationError(f"Budget: burst must be 1 or more, got {self.burst:g}")


class Purse:
    """The tokens of one dependency in one region."""

    __slots__ = ("_budget", "tokens")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.tokens = budget.burst

    def earn(self) -> None:
        """A call is made for the first time."""
        self.tokens = min(self._budget.burst, self.tokens + self._budget.ratio)

    def spend(self) -> bool:
        """Pay for an extra call; False where there is not enough."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
