"""Effects: what is known of a call to the outside world, and what the next attempt at it may do.

A call is known by its *claim*, a row that is durable before the call is made. The claim's `owner` is a token of the
attempt that makes it: what comes of the call is written over the claim of that owner and over no other. A claim
without a result, whose owner is not at work any more, is an *unknown outcome*: the call may have been made or not.
It is made again only where its author says that the other side tells a repeat from a new call.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec

from proa.core.home import Place

EFFECTS = ":effects"
"""The table of claims. No declared table can have such a name."""
PARKED = ":effects_parked"
"""The claims among them that wait for a person, under the same keys."""
State = Literal["begun", "done", "unknown"]
Verdict = Literal["call", "recorded", "wait", "again", "park", "changed"]
SEPARATOR = "\x1f"


class Claim(msgspec.Struct, frozen=True):
    """An effect as stores keep it.

    `work` names the unit in a way that every attempt at it shares, and `ordinal` which of its calls of the effect
    `name` this is. `until` is when the owner's time is over (seconds since 1970), `arguments` are JSON for people to
    read. `place` decides which region may write the row; without one every region may.
    """

    name: str
    work: str
    ordinal: int
    owner: str
    unit: str
    region: str
    at: float
    until: float
    arguments: bytes
    attempts: int = 1
    state: State = "begun"
    result: bytes = b""
    said: str = ""
    resolved_by: str = ""
    place: Place | None = None


def key_of(name: str, work: str, ordinal: int) -> str:
    """The key of an effect: the same in every attempt, and what the other side is handed as idempotency key."""
    digest = blake2b(SEPARATOR.join((name, work, str(ordinal))).encode("utf-8", "surrogatepass"), digest_size=16)
    return f"{name}-{digest.hexdigest()}"


def decide(claim: Claim | None, arguments: bytes, *, at_work: bool, idempotent: bool) -> Verdict:
    """What an attempt may do that finds this claim. `at_work`: whether its owner may still be.

    `call` it and `again` call it (after taking the claim over), take what is `recorded`, `wait` for the owner, `park`
    it for a person; `changed`: the unit asks for another call than the one that was claimed.
    """
    if claim is None:
        return "call"
    if claim.arguments != arguments:
        return "changed"
    match claim.state:
        case "done":
            return "recorded"
        case "begun" if at_work:
            return "wait"
        case _:
            return "again" if idempotent else "park"
