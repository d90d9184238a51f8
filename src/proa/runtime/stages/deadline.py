"""The stage `deadline`: what the caller has left of its time is all that its request has here.

`proa-deadline-ms` says how many milliseconds the caller still waits, counted from when it sent this: a length of time,
so that no two machines' clocks are compared. What is on the way in the network counts to the caller's share. Handlers
hand on what is left of it with `ctx.onward()`.
"""

from __future__ import annotations

from proa.declare.handlers import Route
from proa.errors import BadRequest, DeadlineExceeded
from proa.ports import Clock
from proa.runtime.admission import Arrival, Maker, Stage
from proa.runtime.unit import DEADLINE_HEADER

LONGEST_MS = 9_999_999_999


def deadlines(clock: Clock) -> Maker:
    """Every route heeds the header."""

    def stage(arrival: Arrival) -> None:
        said = arrival.request.headers.get(DEADLINE_HEADER)
        if said is not None:
            arrival.request.deadline = clock.monotonic() + left_s(said)

    def made(_route: Route) -> Stage:
        return stage

    return made


def left_s(said: str) -> float:
    """The seconds that the header tells.

    Raises:
        BadRequest: it is no number of milliseconds.
        DeadlineExceeded: nothing is left.
    """
    if not (said.isascii() and said.isdecimal()) or len(said) > len(str(LONGEST_MS)):
        raise BadRequest(f"{DEADLINE_HEADER} must be a whole number of milliseconds, not {said[:20]!r}")
    if not int(said):
        raise DeadlineExceeded("the caller has no time left")
    return int(said) / 1000
