"""Backlogs: which message is handed out next, from memory that does not grow with what waits.

A region keeps the first rows of each band of a queue as a `Window`: everything before its horizon, nothing behind it.
What was handed out, waits for another attempt, or stands behind the message of its group that is out, is *busy*; it is
in no window. A backlog knows keys alone. It may hand one out whose row has gone: whoever reads the row finds out.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from proa.core.queue import due_ms_of, group_of, milliseconds

WINDOW = 4000
"""About as many keys of a band are in memory; at most twice as many."""


class Window:
    """The keys of a band up to its horizon, in order. `horizon` is None where every row of the band is known.

    `beyond` counts the rows behind it, as far as they were counted. A new window knows nothing, or that there is none.
    """

    __slots__ = ("_heap", "_known", "_meanwhile", "beyond", "horizon")

    def __init__(self, *, empty: bool) -> None:
        self._heap: list[str] = []
        self._known: set[str] = set()
        self._meanwhile: list[str] | None = None
        self.horizon: str | None = None if empty else ""
        self.beyond = 0

    def __len__(self) -> int:
        """How many wait, as far as it is known."""
        return len(self._known) + self.beyond

    @property
    def wants_more(self) -> bool:
        """Whether it should be told of rows behind its horizon, and nobody has begun to."""
        return self.horizon is not None and self._meanwhile is None and len(self._known) < WINDOW // 4

    def begin(self) -> str:
        """Somebody looks for the rows behind the horizon, which is returned; what arrives meanwhile is remembered."""
        self._meanwhile = []
        return self.horizon or ""

    def extend(self, keys: Iterable[str], horizon: str | None) -> None:
        """These are the rows up to a new horizon."""
        before, meanwhile = len(self._known), self._meanwhile or []
        self._meanwhile, self.horizon = None, horizon
        for key in (*keys, *(key for key in meanwhile if horizon is None or key < horizon)):
            self._add(key)
        self.beyond = 0 if horizon is None else max(0, self.beyond - len(self._known) + before)

    def arrived(self, key: str) -> bool:
        """A row was written; whether it may be handed out from here."""
        if len(self._known) >= 2 * WINDOW:
            self._shrink()
        if self.horizon is None or key < self.horizon:
            return self._add(key)
        self.beyond += 1
        if self._meanwhile is not None:
            self._meanwhile.append(key)
        return False

    def first(self) -> str | None:
        """The first key that waits."""
        return self._heap[0] if self._heap else None

    def take(self) -> str:
        """Hand the first one out."""
        key = heapq.heappop(self._heap)
        self._known.discard(key)
        return key

    def _add(self, key: str) -> bool:
        if key in self._known:
            return False
        self._known.add(key)
        heapq.heappush(self._heap, key)
        return True

    def _shrink(self) -> None:
        """Let the later half go."""
        kept = sorted(self._known)
        self.horizon = kept[WINDOW]
        self.beyond += len(kept) - WINDOW
        self._heap = kept[:WINDOW]
        self._known = set(self._heap)


class Backlog:
    """What waits in a queue for one home.

    `since` is when this region began to act for it: what was sent before may have ended the process that had it.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.looked = False
        """Whether all bands that had rows are known: another one begins empty."""
        self.windows: dict[str, Window] = {}
        self.out: set[str] = set()
        """What is handed out."""
        self._busy: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._next: deque[str] = deque()
        self._groups: dict[str, deque[str]] = {}

    @property
    def depth(self) -> int:
        """How many messages there are: those that wait, and those that are handed out."""
        return len(self._busy) + sum(map(len, self.windows.values()))

    def window(self, band: str) -> Window:
        """The window of a band."""
        if band not in self.windows:
            self.windows[band] = Window(empty=self.looked)
            self.windows = dict(sorted(self.windows.items()))
        return self.windows[band]

    def forget(self) -> None:
        """Know nothing of what waits any more, only of what is out."""
        self.windows, self.looked = {}, False

    def extend(self, band: str, keys: Iterable[str], horizon: str | None) -> None:
        """The rows of a band up to a new horizon."""
        self.window(band).extend((key for key in keys if key not in self._busy), horizon)

    def arrived(self, key: str, band: str) -> bool:
        """A row of a band was written; whether it may be handed out from memory."""
        return key not in self._busy and self.window(band).arrived(key)

    def take_some(self, most: int, now: float) -> list[str]:
        """Hand out the next messages that are due, at most so many."""
        keys: list[str] = []
        while len(keys) < most and (key := self.take(now)) is not None:
            keys.append(key)
        return keys

    def take(self, now: float) -> str | None:
        """Hand out the next message that is due; those first that waited for another attempt, or for their group."""
        if (freed := self._freed(now)) is not None:
            return self._hand_out(freed)
        while (key := self._due(now)) is not None:
            group = group_of(key)
            if group in self._groups:
                self._groups[group].append(key)
                continue
            if group:
                self._groups[group] = deque()
            return self._hand_out(key)
        return None

    def _due(self, now: float) -> str | None:
        """The next key of the windows, which is busy from then on."""
        at_ms = milliseconds(now)
        for window in self._in_turn():
            key = window.first()
            if key is not None and due_ms_of(key) <= at_ms:
                self._busy.add(window.take())
                return key
        return None

    def _in_turn(self) -> Iterable[Window]:
        """Priorities one after the other; shares of groups by who has waited the longest."""
        windows = self.windows
        if windows and next(iter(windows)).startswith("g"):
            waiting = [(due_ms_of(key), band) for band, window in windows.items() if (key := window.first())]
            return [windows[min(waiting)[1]]] if waiting else ()
        return windows.values()

    def _freed(self, now: float) -> str | None:
        if self._next:
            return self._next.popleft()
        return heapq.heappop(self._later)[1] if self._later and self._later[0][0] <= now else None

    def _hand_out(self, key: str) -> str:
        self.out.add(key)
        return key

    def done(self, key: str) -> None:
        """The message is dealt with: its group goes on."""
        if key not in self.out:
            return
        self.out.discard(key)
        self._busy.discard(key)
        group = group_of(key)
        behind = self._groups.get(group)
        if behind:
            self._next.append(behind.popleft())
        elif behind is not None:
            del self._groups[group]

    def put_back(self, key: str, at: float) -> None:
        """Hand the message out again at a time; its group waits for it."""
        if key not in self.out:
            return
        self.out.discard(key)
        heapq.heappush(self._later, (at, key))

    def due_at(self) -> float | None:
        """When the next message is due, or was; None where none waits in memory."""
        if self._next:
            return 0.0
        times = [due_ms_of(key) / 1000 for window in self.windows.values() if (key := window.first())]
        return min([*times, *(at for at, _ in self._later[:1])], default=None)

    def oldest_due(self) -> float | None:
        """Since when the first message is due that is not dealt with, those under way included."""
        waiting = [key for window in self.windows.values() if (key := window.first())]
        due_ms = min((due_ms_of(key) for key in (*waiting, *self._busy)), default=None)
        return None if due_ms is None else due_ms / 1000

    def wanting(self) -> Iterator[str]:
        """The bands of which more should be read."""
        return (band for band, window in self.windows.items() if window.wants_more)
