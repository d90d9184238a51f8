"""Hands: what holds things broken, so that faults may overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import product

from proa.simulation.world import World

RESTART_S = 0.05
"""A restart so quick that answers to the life before are still under way."""
Way = tuple[str, str]


class Hands:
    """What holds things broken. Of several holds on one thing the strongest counts; with the last it is let go."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._held: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._cut: defaultdict[Way, list[str]] = defaultdict(list)
        self._skews: defaultdict[str, float] = defaultdict(float)

    # Processes.

    def down(self, node: str) -> AbstractContextManager[None]:
        """Its process is dead."""
        return self._hold(("down", node), 1.0, lambda on: (self.world.kill if on else self.world.start)(node))

    def paused(self, node: str) -> AbstractContextManager[None]:
        """Its process stands still."""
        return self._hold(("paused", node), 1.0, lambda on: (self.world.pause if on else self.world.resume)(node))

    def throttled(self, region: str, share: float) -> AbstractContextManager[None]:
        """It refuses a share of the requests."""
        return self._hold(("throttled", region), share, lambda share: self.world.throttle(region, share))

    def stale_routing(self) -> AbstractContextManager[None]:
        """The edge takes no new assignment."""
        return self._hold(("routing",), 1.0, lambda on: self.world.stale_routing(bool(on)))

    # The network.

    @contextmanager
    def cut(self, ways: Iterable[Way], kind: str) -> Generator[None]:
        """Nothing passes on these ways."""
        held = list(ways)
        for way in held:
            self._cut[way].append(kind)
            self.world.network.cut[way] = kind
        try:
            yield
        finally:
            for way in held:
                self._mend(way, kind)

    def _mend(self, way: Way, kind: str) -> None:
        self._cut[way].remove(kind)
        if self._cut[way]:
            self.world.network.cut[way] = self._cut[way][-1]
        else:
            self.world.network.cut.pop(way, None)

    def delayed(self, a: str, b: str, seconds: float) -> AbstractContextManager[None]:
        """Messages between the two take longer."""
        return self._hold(("delay", *sorted((a, b))), seconds, lambda seconds: self.world.slow(a, b, seconds))

    def unreliable(self, how: str, share: float) -> AbstractContextManager[None]:
        """A share of all messages suffers `loss`, `duplicate` or `reorder`."""
        return self._hold((how,), share, lambda share: setattr(self.world.network, how, share))

    def replies_lost(self, node: str, share: float) -> AbstractContextManager[None]:
        """A share of the node's replies never leaves it."""
        return self._hold(("replies", node), share, lambda share: self._lose_replies(node, share))

    def _lose_replies(self, node: str, share: float) -> None:
        if share:
            self.world.network.lost_replies[node] = share
        else:
            self.world.network.lost_replies.pop(node, None)

    # Clocks and disks.

    def skewed(self, node: str, seconds: float) -> AbstractContextManager[None]:
        """Its wall clock is off."""
        return self._hold(("skew", node), seconds, lambda seconds: self._skew(node, seconds))

    def _skew(self, node: str, seconds: float) -> None:
        self.world.jump(node, seconds - self._skews[node])
        self._skews[node] = seconds

    def drifting(self, node: str, rate: float) -> AbstractContextManager[None]:
        """Its clocks run fast or slow."""
        return self._hold(("drift", node), rate, lambda rate: self.world.drift(node, rate))

    def slow_disk(self, node: str, seconds: float) -> AbstractContextManager[None]:
        """Its syncs take longer."""
        return self._hold(("slow", node), seconds, lambda seconds: setattr(self.world.disk(node), "slow_s", seconds))

    def full_disk(self, node: str) -> AbstractContextManager[None]:
        """Its disk has no room."""
        return self._hold(("full", node), 1.0, lambda on: setattr(self.world.disk(node), "full", bool(on)))

    # What the app depends on.

    def dependency_failing(self, name: str, share: float) -> AbstractContextManager[None]:
        """A share of its calls fails."""
        return self._hold(("failing", name), share, lambda share: self.world.dependency(name).fail(share))

    def dependency_slow(self, name: str, seconds: float) -> AbstractContextManager[None]:
        """Its calls take longer."""
        return self._hold(("late", name), seconds, lambda seconds: self.world.dependency(name).slow(seconds))

    def dependency_gone(self, name: str) -> AbstractContextManager[None]:
        """Its calls never end."""
        return self._hold(("gone", name), 1.0, lambda on: self.world.dependency(name).gone(on=bool(on)))

    @contextmanager
    def _hold(self, what: tuple[str, ...], amount: float, put: Callable[[float], object]) -> Generator[None]:
        held = self._held[what]
        held.append(amount)
        put(_strongest(held))
        try:
            yield
        finally:
            held.remove(amount)
            put(_strongest(held))


def _strongest(amounts: Sequence[float]) -> float:
    return max(amounts, key=abs, default=0.0)


def between(left: Iterable[str], right: Iterable[str]) -> list[Way]:
    """All ways from one side to the other, and back."""
    return [way for a, b in product(left, right) for way in ((a, b), (b, a))]


def around(nodes: Iterable[str], everybody: Iterable[str]) -> list[Way]:
    """All ways in and out of a group of nodes."""
    group = list(nodes)
    return between(group, [other for other in everybody if other not in group])
