"""What can be done to a world, by name: each at once, undone by its opposite or by `heal`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from itertools import product

from proa.runtime.composition.foundation import STORE_FILE
from proa.simulation import archive
from proa.simulation.dependencies import SimDependency
from proa.simulation.disk import Disk, When
from proa.simulation.machines import ARCHIVED_S, Machines
from proa.simulation.process import Trap


class Damage(Machines):
    """The machines, and the hands that break them. Nodes are named; a group of them may stand for one."""

    # Processes.

    def pause(self, name: str) -> None:
        """Let the node's process stand still, between two of its steps."""
        if (life := self.nodes[name].life) is not None:
            life.pause()

    def resume(self, name: str) -> None:
        """Let it go on."""
        if (life := self.nodes[name].life) is not None and life.halted:
            life.resume()

    def lose(self, name: str) -> None:
        """An outage of the whole region: its process ends and nothing reaches it, silently."""
        self.partition(name, self.network.hosts, kind="region outage")
        self.kill(name)

    def at_port(self, name: str, nth: int, trap: Trap, amount: float = 0.0) -> None:
        """Spring a trap at the node's `nth` port call from now: pause or jump by `amount` seconds, or kill."""
        if (life := self.nodes[name].life) is not None:
            life.set_trap(nth, trap, amount)

    def crash_at_fsync(self, name: str, when: When) -> None:
        """Kill the node before, inside or after its next sync."""
        self.nodes[name].disk.crash = when

    def pause_at_fsync(self, name: str, seconds: float) -> None:
        """Let the node's process stand still in its next sync: what was committed is not answered yet."""
        self.nodes[name].disk.pause_s = seconds

    # The network.

    def partition(
        self, a: str | Collection[str], b: str | Collection[str], *, one_way: bool = False, kind: str = "partition"
    ) -> None:
        """Swallow everything from `a` to `b`, and back unless `one_way`."""
        for way in _ways(a, b, one_way=one_way):
            self.network.cut[way] = kind

    def mend(self, a: str | Collection[str], b: str | Collection[str]) -> None:
        """Let everything pass between `a` and `b`."""
        for way in _ways(a, b):
            self.network.cut.pop(way, None)

    def slow(self, a: str | Collection[str], b: str | Collection[str], delay_s: float) -> None:
        """Add about `delay_s` to each message between `a` and `b`; 0 takes it away."""
        for way in _ways(a, b):
            if delay_s:
                self.network.extra[way] = delay_s
            else:
                self.network.extra.pop(way, None)

    def stale_routing(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Let the edge take no new assignment."""
        self.stale = on

    def throttle(self, name: str, share: float) -> None:
        """Let a region refuse this share of requests before their handlers run."""
        self.nodes[name].throttled = share

    # What the app depends on.

    def dependency(self, name: str) -> SimDependency:
        """A dependency of the app, to be broken, and healed, and to say what answers in its stead."""
        if name not in self._dependencies:
            raise KeyError(f"the app declares no dependency {name!r}; it has {', '.join(self._dependencies) or 'none'}")
        return self._dependencies[name]

    # Clocks and disks.

    def drift(self, name: str, rate: float) -> None:
        """Let the node's clocks run faster by `rate` (0.01: one per cent), from now on."""
        host = self.nodes[name]
        host.clock.run_at(1 + rate, self.loop.now_s)
        if host.life is not None:
            self.loop.retime(host.life)

    def disk(self, name: str) -> Disk:
        """The node's disk."""
        return self.nodes[name].disk

    def give_up(self, name: str) -> None:
        """The region's disk is about to be lost, or put back to an earlier state: what only it holds is lost."""
        if self.app.journal_retention_s < ARCHIVED_S:
            self.archive |= archive.kept_in(self.nodes[name].disk.path / STORE_FILE)
        if (origin := self._origin(self.nodes[name])) is not None:
            self.lost_at[origin] = self.network.pulled_s.get(name, self._began_s) - self._began_s

    def replace_disk(self, name: str) -> None:
        """Put an empty disk into a region; it starts again."""
        self.give_up(name)
        self.lose(name)
        self.disk(name).lose()
        self.heal(name)

    def rot(self, name: str, nth: int) -> bool:
        """Spoil the bytes of a row of an app's table on the region's disk, the `nth` (modulo how many there are).

        What is left is no row that its table could read. False where there is none, or the file is being written.
        """
        connection = sqlite3.connect(self.nodes[name].disk.path / STORE_FILE, timeout=0)
        try:
            declared = self.app.schemas(strong=False)
            rows = [row for row in connection.execute(_LIVING).fetchall() if row[0] in declared]
            if rows:
                connection.execute(_SPOIL, rows[nth % len(rows)])
                connection.commit()
                self.rotten = True
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return bool(rows)

    def heal(self, name: str | None = None) -> None:
        """Undo everything that was done to a node, or to all; what is down starts again."""
        for healed in [name] if name else list(self.nodes):
            host = self.nodes[healed]
            self.mend(healed, self.network.hosts)
            self.slow(healed, self.network.hosts, 0)
            host.disk.heal()
            host.throttled = 0.0
            host.clock.offset_s = 0.0
            self.network.lost_replies.pop(healed, None)
            self.drift(healed, 0.0)
            self.resume(healed)
            if host.life is not None:
                host.life.disarm()
            self.start(healed)
        if name is None:
            self.network.loss = self.network.duplicate = self.network.reorder = 0.0
            self.stale = False
            for dependency in self._dependencies.values():
                dependency.heal()


_LIVING = "SELECT tbl, key FROM rows WHERE value IS NOT NULL ORDER BY tbl, key"
_SPOIL = "UPDATE rows SET value = zeroblob(9) WHERE tbl = ? AND key = ?"


def _ways(a: str | Collection[str], b: str | Collection[str], *, one_way: bool = False) -> Iterator[tuple[str, str]]:
    first, second = [a] if isinstance(a, str) else sorted(a), [b] if isinstance(b, str) else sorted(b)
    for x, y in product(first, second):
        if x != y:
            yield x, y
            if not one_way:
                yield y, x
