"""Figures of a region's queues: how much waits, for how long, how fast it goes, and when that is worth an alarm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from proa.observe.metrics import Registry
from proa.ports import Clock, Telemetry
from proa.runtime.events import QueueBehind, QueueRecovered
from proa.runtime.messages.intake import Intake

CALM_SHARE = 0.8
"""An alarm ends when the figure is this far below its bound: not at every message."""


class QueueFigures(msgspec.Struct, frozen=True):
    """One queue's messages of one home, as the region that acts for it has them.

    `depth` are all that are not dealt with, `out` of them handed out; `age_s` is for how long the first one has been
    due. `allowed` runs may be under way of the `concurrency` declared; `per_s` are handled by the region of late.
    """

    queue: str
    home: str
    depth: int
    out: int
    age_s: float
    paused: str
    allowed: int
    concurrency: int
    slowed: bool
    per_s: float


def figures(intakes: Iterable[Intake], clock: Clock) -> list[QueueFigures]:
    """The figures of every queue and home."""
    return [one for intake in intakes for one in _of(intake, clock.now(), clock.monotonic())]


def _of(intake: Intake, now: float, monotonic: float) -> Iterator[QueueFigures]:
    for home, backlog in intake.homes.items():
        oldest = backlog.oldest_due()
        yield QueueFigures(
            intake.queue.name,
            home,
            backlog.depth,
            len(backlog.out),
            0.0 if oldest is None else round(max(0.0, now - oldest), 3),
            intake.paused,
            intake.pace.allowed,
            intake.pace.most,
            intake.pace.allowed < intake.pace.most,
            round(intake.handled.per_s(monotonic), 1),
        )


class Alarms:
    """Compares the figures with what queues declare, and tells of what goes over its bound, and back."""

    def __init__(self, intakes: Iterable[Intake], clock: Clock, telemetry: Telemetry) -> None:
        self._intakes = [each for each in intakes if each.queue.depth_alarm or each.queue.age_alarm_s]
        self._clock = clock
        self._telemetry = telemetry
        self.raised: dict[tuple[str, str, str], str] = {}
        """Why, by queue, home and figure."""

    def __bool__(self) -> bool:
        """Whether any queue declares a bound."""
        return bool(self._intakes)

    def look(self) -> None:
        """Judge the figures as they are now."""
        bounds = {each.queue.name: each.queue for each in self._intakes}
        for one in figures(self._intakes, self._clock):
            queue = bounds[one.queue]
            self._judge(one, "depth", one.depth, queue.depth_alarm)
            self._judge(one, "age_s", one.age_s, queue.age_alarm_s)

    def _judge(self, one: QueueFigures, figure: str, value: float, bound: float | None) -> None:
        key = (one.queue, one.home, figure)
        if bound is None:
            return
        if key not in self.raised and value > bound:
            self.raised[key] = f"{figure} {value:g} is over {bound:g}"
            self._telemetry.emit(QueueBehind(*key, value, bound))
        elif key in self.raised and value <= bound * CALM_SHARE:
            del self.raised[key]
            self._telemetry.emit(QueueRecovered(*key, value))

    def warnings(self) -> dict[str, str]:
        """What deep health tells: a queue that is behind makes no region unfit, but people should know."""
        return {f"queue {queue} of {home}": why for (queue, home, _), why in self.raised.items()}


def register_gauges(metrics: Registry, intakes: Mapping[str, Intake], clock: Clock) -> None:
    """What a scrape asks a region's queues for."""

    def gauge(figure: str) -> Iterator[tuple[dict[str, str], float]]:
        for one in figures(intakes.values(), clock):
            yield {"queue": one.queue, "home": one.home}, getattr(one, figure)

    metrics.gauge("proa_queue_depth", lambda: gauge("depth"))
    metrics.gauge("proa_queue_in_flight", lambda: gauge("out"))
    metrics.gauge("proa_queue_age_seconds", lambda: gauge("age_s"))
