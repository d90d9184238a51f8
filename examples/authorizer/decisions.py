"""What a gateway keeps, so that it asks once for many requests, and what it does when it cannot ask.

A whole policy is kept for each session, not the answer to one question: a gateway that kept "may GET orders/7" would
deny the next request for orders/8, which nobody asked about. It is kept for as long as the authorizer says. So a
revocation takes effect within that time, an outage of the authorizer that is shorter goes unnoticed by sessions in use,
and after it everything is denied.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from policy import Effect, Policy, judged

Ask = Callable[[str], Awaitable[Policy]]
"""Asks the authorizer for a session's policy. OSError if it cannot be reached."""


class Decisions:
    """The policies of the sessions seen lately, at most `limit`; `clock` is monotonic, in seconds."""

    def __init__(self, ask: Ask, clock: Callable[[], float], limit: int = 10_000) -> None:
        self._ask = ask
        self._clock = clock
        self._limit = limit
        self._kept: dict[str, tuple[float, Policy]] = {}

    async def may(self, session: str, action: str, resource: str) -> Effect:
        """Whether the holder of a session may do something."""
        kept = self._kept.get(session)
        if kept is None or kept[0] <= self._clock():
            self._kept.pop(session, None)
            try:
                kept = self._keep(session, await self._ask(session))
            except OSError:
                return "Deny"
        return judged(kept[1].policy_document, action, resource)

    def _keep(self, session: str, policy: Policy) -> tuple[float, Policy]:
        """Keep a policy; the one that was kept first makes room for it."""
        if len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        self._kept[session] = kept = (self._clock() + policy.keep_s, policy)
        return kept
