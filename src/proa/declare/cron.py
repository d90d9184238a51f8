"""Cron expressions: due times in a time zone, each local time once.

Where an expression names hours (`30 2 * * *`), its due times are times of the local clock. One that the clock leaves
out, when it is put forward, is due at the end of the gap; one that it shows twice, when it is put back, is due the
first time. Where it does not (`*/15 * * * *`), it means a rhythm, which goes on through both: every instant counts
whose local time fits.

What an expression means is `cronsim`'s: five fields, or six with seconds first.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proa.errors import DeclarationError

FOLD = timedelta(hours=3)
"""No clock is put back by more."""


class Cron:
    """The due times of an expression in a time zone. `core.schedule.Timing`."""

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        try:
            from cronsim import CronSim, CronSimError
        except ModuleNotFoundError as error:
            raise DeclarationError(
                f"schedule {expression!r}: cron expressions need the extra `schedules` (pip install 'proa[schedules]')"
            ) from error
        try:
            self._zone = ZoneInfo(timezone)
            CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - a local time
        except CronSimError as error:
            raise DeclarationError(f"schedule {expression!r} is no cron expression: {error}") from None
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise DeclarationError(f"schedule {expression!r}: there is no time zone {timezone!r}") from error
        self._simulated = CronSim
        self._expression = expression
        self._is_local = not expression.split()[-4].startswith("*")
        self._never_due()

    def _never_due(self) -> None:
        try:
            self.after(0)
        except StopIteration:
            raise DeclarationError(f"schedule {self._expression!r} is never due") from None

    def after(self, at_ms: int) -> int:
        """The first due time after a moment."""
        at = _moment(at_ms)
        if not self._is_local:
            return _milliseconds(next(self._simulated(self._expression, at.astimezone(self._zone))))
        local = at.astimezone(self._zone).replace(tzinfo=None, fold=0)
        return next(due for due in self._local(local, reverse=False) if due > at_ms)

    def upto(self, at_ms: int) -> int:
        """The last due time at a moment or before it."""
        at = _moment(at_ms)
        shown = (at + timedelta(seconds=1)).astimezone(self._zone)
        if not self._is_local:
            fitting = map(_milliseconds, self._simulated(self._expression, shown, reverse=True))
            return next(due for due in fitting if due <= at_ms)
        local = shown.replace(tzinfo=None, fold=0) + (FOLD if shown.fold else timedelta())
        return next(due for due in self._local(local, reverse=True) if due <= at_ms)

    def _local(self, local: datetime, *, reverse: bool) -> Iterator[int]:
        """The due times from a time of the local clock on, or back."""
        return (self._instant(due) for due in self._simulated(self._expression, local, reverse=reverse))

    def _instant(self, local: datetime) -> int:
        """When the local clock shows a time first; the end of the gap where it never does."""
        while (instant := local.replace(tzinfo=self._zone).astimezone(UTC)).astimezone(self._zone).replace(
            tzinfo=None, fold=0
        ) != local:
            local = local.replace(second=0) + timedelta(minutes=1)
        return _milliseconds(instant)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000
