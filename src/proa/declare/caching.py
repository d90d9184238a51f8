"""Purging: a handler says which kept answers its writes made old.

They are forgotten once the handler's unit is committed, here and in the other regions: there at once, and once more
when they have what the unit wrote. Whichever unit that is: of a request, a message, a tick, a change or a saga's step.
"""

from __future__ import annotations

from proa.core.policy.cache import Purge
from proa.declare.context import current_unit


def purge(*, path: str = "", tag: str = "") -> None:
    """Forget kept answers of a path (`/rates/*`: of all below it), or of routes whose cache has a tag.

    Raises:
        ValueError: neither or both are given.
        NoUnit: called outside of a handler, or in an app whose routes keep no answers.
    """
    current_unit().purge(Purge(path, tag))
