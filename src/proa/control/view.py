"""The view: this node's own copy of the control tables, kept by one long poll.

Everything on this node that decides reads `view.situation`, never the store. If the store is out of reach the copy
stays as it is and the node goes on with it (static stability); leases and freshness age on the node's own clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proa.control.events import ControlPlaneBack, ControlPlaneLost, VerdictChanged
from proa.core.roles import CONTROL_PREFIX
from proa.core.situation import Rules, Situation, fold
from proa.errors import GlobalStoreUnreachable, Unavailable
from proa.ports import Changes, Clock, Entropy, GlobalStore, Telemetry

BACKOFF_S = 0.2
BACKOFF_MAX_S = 1.0


class View:
    """A replica of the control tables. `run` keeps it; `subscribe` hears of each change.

    News of the tables `waking` (none: of all) is heard at once, everything else with it or when a poll's time is up.
    """

    def __init__(
        self,
        store: GlobalStore,
        rules: Rules,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        waking: Sequence[str] = (),
    ) -> None:
        self.situation = Situation(rules)
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._waking = waking
        self._subscribers: list[Callable[[], None]] = []
        self._failures = 0

    @property
    def stale(self) -> bool:
        """Whether the store did not answer the last poll."""
        return self._failures > 0

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` after each change; the result ends the subscription."""
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    async def run(self) -> None:
        """Keep the copy for ever."""
        while True:
            await self.poll(self.situation.rules.listen_s)

    async def poll(self, timeout_s: float) -> None:
        """One long poll; an unreachable store costs a pause and nothing else. Zero seconds bring what is new now."""
        try:
            changes = await self._store.watch(CONTROL_PREFIX, self.situation.revision, timeout_s, self._waking)
        except GlobalStoreUnreachable as error:
            await self._pause(error)
            return
        if self._failures:
            self._telemetry.emit(ControlPlaneBack("view"))
        self._failures = 0
        if changes.rows:
            self._take(changes)

    async def newest(self) -> Situation:
        """The rows as they are now, for somebody who decides on them.

        Raises:
            Unavailable: the global store does not answer.
        """
        await self.poll(0)
        if self.stale:
            raise Unavailable("the global store does not answer, so nothing can be decided now")
        return self.situation

    def _take(self, changes: Changes) -> None:
        before = self.situation
        now = self._clock.monotonic()
        self.situation = fold(before, changes.rows, changes.revision, changes.at, now, changes.kept_s)
        if self.situation.standing is not before.standing:
            self._tell(before)
        for changed in list(self._subscribers):
            changed()

    def _tell(self, before: Situation) -> None:
        for region, standing in self.situation.standing.items():
            was = before.standing[region].verdict if region in before.standing else "unknown"
            if was != standing.verdict:
                self._telemetry.emit(VerdictChanged(region, standing.verdict, was))

    async def _pause(self, error: GlobalStoreUnreachable) -> None:
        if not self._failures:
            self._telemetry.emit(ControlPlaneLost("view", error.detail))
        self._failures += 1
        pause_s = min(BACKOFF_S * 2 ** min(self._failures - 1, 5), BACKOFF_MAX_S)
        await self._clock.sleep(pause_s * (0.5 + self._entropy.random() / 2))
