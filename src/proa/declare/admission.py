"""The way in: the stages that a request passes before its unit runs, in the one order that there is.

Cheap before costly, and what needs no body before what does: a request that is refused costs as little as it can, and
whoever is not let in yet cannot make a region read, remember or wait for anything. `STAGES` is that order; the runtime
compiles each route's list out of it at start and leaves out what the route does not declare. `proa explain admission`
prints it, and the reference is generated from it.
"""

from __future__ import annotations

import msgspec

from proa.errors import (
    BadRequest,
    Blocked,
    DeadlineExceeded,
    Draining,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ProaError,
    RequestTooSlow,
    TooManyRequests,
    Unauthorized,
)


class StageSpec(msgspec.Struct, frozen=True):
    """One stage: what it does, why it stands where it does, and the errors with which it refuses."""

    name: str
    does: str
    why: str
    refuses: tuple[type[ProaError], ...] = ()

    @property
    def statuses(self) -> tuple[int, ...]:
        """The HTTP statuses of its refusals."""
        return tuple(sorted({error.status for error in self.refuses}))


STAGES = (
    StageSpec("serving", "asks whether the region serves at all", "nothing else is worth doing before", (Draining,)),
    StageSpec(
        "route",
        "finds the route of method and path; answers CORS preflights",
        "every later stage is the route's own",
        (NotFound, MethodNotAllowed),
    ),
    StageSpec(
        "firewall",
        "matches rules of address, country, method, type, size and pattern against the head",
        "hostile requests are to cost the least",
        (Blocked,),
    ),
    StageSpec(
        "deadline",
        "takes over what the caller has left of its time",
        "an answer that nobody waits for is worth nothing",
        (BadRequest, DeadlineExceeded),
    ),
    StageSpec(
        "throttle",
        "takes a token of the app's, the route's and the client's buckets",
        "before credentials are looked at, so that guessing them is limited too",
        (TooManyRequests,),
    ),
    StageSpec(
        "authenticate",
        "finds out who asks, and whether the route lets them",
        "before the body is read, so that strangers cannot fill memory",
        (Unauthorized, Forbidden),
    ),
    StageSpec(
        "quota",
        "takes a token of the bucket of whoever asks",
        "only now is it known who asks",
        (TooManyRequests,),
    ),
    StageSpec(
        "body",
        "reads the body, bounded in size and time",
        "before a slot is taken, so that a slow sender holds none",
        (PayloadTooLarge, RequestTooSlow, BadRequest),
    ),
    StageSpec("inspect", "matches rules of depth and pattern against the body", "it needs the body", (Blocked,)),
    StageSpec(
        "concurrency",
        "waits for one of the slots, the most important first, and sheds what cannot be served in time",
        "last, so that a slot is held for the unit alone",
        (Overloaded, DeadlineExceeded),
    ),
    StageSpec("unit", "looks the key up, validates, runs the handler, commits, answers", "what all this is for"),
)
"""The order. A stage's place says what it may rely on: all before it has passed."""
