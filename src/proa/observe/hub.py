"""The one stream of events. Whoever emits knows nobody who listens; logs, metrics and the dashboard subscribe."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

Subscriber = Callable[[msgspec.Struct], None]


class Hub:
    """Hands each event to every subscriber, in order, at once."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def emit(self, event: msgspec.Struct) -> None:
        for subscriber in self._subscribers:
            subscriber(event)
