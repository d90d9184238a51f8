"""Metrics in Prometheus' text format: counters and histograms fed by events, gauges asked for at scrape time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from proa.ports import Labels

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_Labels = tuple[tuple[str, str], ...]
Gauge = Callable[[], Iterable[tuple[Labels, float]]]


class Histogram:
    """Counts of observations up to each bound."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(BUCKETS_S, value)] += 1
        self.total += value


class Registry:
    """All metrics of one node. Names end in their unit (`_seconds`, `_total`)."""

    def __init__(self, common: Labels) -> None:
        self._common = tuple(common.items())
        self._counters: dict[str, dict[_Labels, float]] = {}
        self._histograms: dict[str, dict[_Labels, Histogram]] = {}
        self._gauges: dict[str, Gauge] = {}

    def count(self, name: str, *labels: tuple[str, str], by: float = 1) -> None:
        series = self._counters.setdefault(name, {})
        series[labels] = series.get(labels, 0) + by

    def observe(self, name: str, value: float, *labels: tuple[str, str]) -> None:
        self.histogram(name, *labels).observe(value)

    def histogram(self, name: str, *labels: tuple[str, str]) -> Histogram:
        """The histogram itself, for whoever observes often and keeps it."""
        series = self._histograms.setdefault(name, {})
        if labels not in series:
            series[labels] = Histogram()
        return series[labels]

    def counter(self, name: str, *labels: tuple[str, str]) -> Callable[[], None]:
        """A function that counts one, for whoever counts often and keeps it."""
        series = self._counters.setdefault(name, {})
        series.setdefault(labels, 0)

        def count() -> None:
            series[labels] += 1

        return count

    def gauge(self, name: str, read: Gauge) -> None:
        """Register a gauge; `read` yields labels and values when somebody scrapes."""
        self._gauges[name] = read

    def text(self) -> str:
        """Everything in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterable[str]:
        for name, series in sorted(self._counters.items()):
            yield f"# TYPE {name} counter"
            for labels, value in series.items():
                yield f"{name}{self._label(labels)} {value:g}"
        for name, histograms in sorted(self._histograms.items()):
            yield f"# TYPE {name} histogram"
            for labels, histogram in histograms.items():
                yield from self._histogram(name, labels, histogram)
        for name, read in sorted(self._gauges.items()):
            yield f"# TYPE {name} gauge"
            for labels, value in read():
                yield f"{name}{self._label(tuple(labels.items()))} {value:g}"

    def _histogram(self, name: str, labels: _Labels, histogram: Histogram) -> Iterable[str]:
        total = 0
        for bound, count in zip((*BUCKETS_S, float("inf")), histogram.counts, strict=True):
            total += count
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f"{name}_bucket{self._label((*labels, ('le', le)))} {total}"
        yield f"{name}_sum{self._label(labels)} {histogram.total:g}"
        yield f"{name}_count{self._label(labels)} {total}"

    def _label(self, labels: _Labels) -> str:
        pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in (*self._common, *labels))
        return "{" + pairs + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
