"""Credentials verified lately, in bounded memory, so that a warm request costs one look-up.

Two generations, the older one forgotten as a whole; what is still asked for moves to the newer one. An entry counts
until its credential ends, and is looked at again every `recheck_s` for a revocation.
"""

from __future__ import annotations

import msgspec

from proa.core.identity.principal import Principal


class Verified(msgspec.Struct):
    """A principal, until when (wall clock) its credential is good, and until when (monotonic) nobody looks again."""

    principal: Principal
    until: float
    fresh_until: float = float("-inf")


class Memory:
    """By the credential's text. At most twice `limit` entries."""

    __slots__ = ("_limit", "_newer", "_older")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._newer: dict[str, Verified] = {}
        self._older: dict[str, Verified] = {}

    def get(self, text: str) -> Verified | None:
        """What is known of a credential."""
        found = self._newer.get(text)
        if found is None and (found := self._older.pop(text, None)) is not None:
            self.put(text, found)
        return found

    def put(self, text: str, verified: Verified) -> None:
        """Remember one."""
        if len(self._newer) >= self._limit:
            self._older, self._newer = self._newer, {}
        self._newer[text] = verified

    def drop(self, text: str) -> None:
        """Forget one that is good no longer."""
        self._newer.pop(text, None)
        self._older.pop(text, None)

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)
