"""Purging: a handler says which kept answers its writes made old.

They are forgotten once the handler's unit is committed, here and in the other regions: there at once, and once more
when they have what the unit wrote.
"""

from __future__ import annotations

from contextvars import ContextVar

from proa.core.policy.cache import Purge
from proa.errors import NoUnit

PURGES: ContextVar[set[Purge]] = ContextVar("proa_purges")


def purge(*, path: str = "", tag: str = "") -> None:
    """Forget kept answers of a path (`/rates/*`: of all below it), or of routes whose cache has a tag.

    Raises:
        ValueError: neither or both are given.
        NoUnit: called outside of a request's handler.
    """
    wanted = Purge(path, tag)
    try:
        PURGES.get().add(wanted)
    except LookupError:
        raise NoUnit("answers are purged by the handler of a request, in an app with a cached route") from None
