"""When clients act: in bursts, since requests that never meet put nothing to the test.

Spread evenly, a hundred requests in twenty seconds are nearly all alone. Four within a few milliseconds, from clients
near different regions, race for the same rows, share a sync, and are all under way when something breaks.
"""

from __future__ import annotations

from random import Random

BURST = 4
WITHIN_S = 0.03


def instants(rng: Random, requests: int, duration_s: float) -> list[float]:
    """When each of so many requests is sent. Fewer requests are the first of more, so that a run can be shortened."""
    begin, drawn = 0.0, list[float]()
    for number in range(requests):
        if number % BURST == 0:
            begin = rng.random() * (duration_s - WITHIN_S)
        drawn.append(begin + rng.random() * WITHIN_S)
    return drawn
