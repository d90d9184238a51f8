"""The dead letters of a queue: looking at them, sending them back, editing and removing them.

Which letters are meant is said once, by `where`; then the same ones are looked at, counted, sent back or removed. Every
region has all letters, so the first that answers shows them; each changes those that it acts for, so all are told to.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import msgspec

from proa.errors import ProaError, RegionSilent, Unavailable, UsageError
from proa.operate.asking import Asking
from proa.operate.moving import Moving
from proa.runtime.messages.dead import Counted, Job, Letter, Page

PAGE = 500
"""So many letters are asked for at once."""
T = TypeVar("T")
Moment = float | datetime | timedelta
"""A point in time: seconds since 1970, a time with its zone, or how long ago it was."""


class Which(TypedDict, total=False):
    """Which letters are meant: those to which everything that is given applies."""

    error: str
    """Their error's `fingerprint`."""
    code: str
    """Their error's code, or the name of an exception."""
    since: Moment
    """They died then or later."""
    until: Moment
    """They died before then."""
    fields: Mapping[str, Any]
    """Values in their bodies, by name; `a.b` is a field of a field."""
    message: str
    """The id of one."""
    region: str
    """The home of their messages."""


@dataclass(frozen=True)
class Count:
    """How many letters there are: `regions` says how many each acts for, `unheard` why one did not count."""

    regions: Mapping[str, int]
    unheard: Mapping[str, ProaError]

    @property
    def letters(self) -> int:
        """How many were counted in all."""
        return sum(self.regions.values())


def new_job() -> str:
    """A name for what is to be begun, by which it is known also where the answer to its beginning is lost."""
    return secrets.token_hex(8)


def _nobody(region: str, so_far: Counted) -> None:
    """Nobody is told of a count on its way."""


class DeadLetters:
    """The dead letters of one queue, or some of them.

    Whatever is asked raises NotFound where there is no such queue, Unauthorized where the token is none, Forbidden
    where its operator may only look, and Unavailable where no region answers.
    """

    def __init__(self, regions: Asking, queue: str, which: Mapping[str, Any] | None = None) -> None:
        self.queue = queue
        self._regions = regions
        self._which = which or {}
        self._path = f"{quote(queue)}/dead"

    def where(self, **which: Unpack[Which]) -> DeadLetters:
        """Those to which this applies, and what was said before unless it is said anew.

        Raises:
            UsageError: a time has no zone.
        """
        return DeadLetters(self._regions, self.queue, {**self._which, **_plain(which)})

    # Looking.

    def latest(self, limit: int | None = None) -> Iterator[Letter]:
        """The letters, the latest first: all of them, or so many. They are fetched as they are taken."""
        for page in self.pages(limit):
            yield from page.letters

    def pages(self, limit: int | None = None, start: str = "") -> Iterator[Page]:
        """The same a page at a time, from where an earlier one ended (`next`) if that is given.

        A region looks through a bounded number of letters for a page: one may have none, and others behind it.
        """
        found = 0
        while True:
            most = PAGE if limit is None else min(PAGE, limit - found)
            said = self._regions.ask_first("POST", self._path, {**self._which, "limit": most, "start": start})
            page = msgspec.convert(said, Page)
            yield page
            found, start = found + len(page.letters), page.next
            if not start or found == limit:
                return

    def count(self, *, to: str = "", told: Callable[[str, Counted], None] = _nobody) -> Count:
        """How many letters a redrive (`to` another region, if it is given) or a purge would move: their dry run.

        `told` is called with a region and what it has counted so far, as long as that is not all.
        """
        return Count(*self._each(lambda region: self._counted(region, to, told)))

    def get(self, message: str) -> Letter:
        """One letter, by the id of its message.

        Raises:
            NotFound: there is none.
        """
        return msgspec.convert(self._regions.ask_first("GET", self._one(message)), Letter)

    # Changing.

    def edit(self, message: str, body: Any, *, why: str = "") -> Letter:
        """Give one letter another body, to be sent back with; `why` is for the audit log.

        `body` is a value of the queue's type, or the same as plain dicts, lists and values.

        Raises:
            NotFound: there is no such letter.
            Unprocessable: the body is none of the queue's type.
            Unavailable: nobody acts for the letter now, or it changed at the same time.
            RegionSilent: the region that acts for it does not answer; `get` shows whether it was edited.
        """
        region = self._acting(self.get(message).region)
        said = self._regions.ask(region, "PUT", self._one(message), {"body": body, "why": why})
        return msgspec.convert(said, Letter)

    def redrive(self, *, to: str = "", rate: float = inf, why: str = "") -> Moving:
        """Begin to send these letters back to their queue, where their attempts count from none again.

        They go to their home, or to region `to`, at most `rate` a second in each region. `why` is for the audit log.
        Those that die again meanwhile are left for the next redrive.

        Raises:
            Unprocessable: there is no region `to`, or the rate is not positive.
        """
        return self._begin("redrive", {"to": to, "why": why} | ({"rate": rate} if rate < inf else {}))

    def purge(self, *, everything: bool = False, why: str = "") -> Moving:
        """Begin to remove these letters for good. `why` is for the audit log.

        Raises:
            UsageError: all letters of the queue are meant, and that is not said by `everything`.
        """
        if not everything and not any(self._which.values()):
            raise UsageError(
                "this would remove every letter of the queue: say which, or --everything (everything=True)"
            )
        return self._begin("purge", {"why": why})

    def _begin(self, what: str, asked: Mapping[str, Any]) -> Moving:
        job = new_job()

        def begun(region: str) -> Job:
            said = self._regions.ask(region, "POST", f"{self._path}/{what}", {**self._which, **asked, "job": job})
            return msgspec.convert(said, Job)

        return Moving(self._regions, self._path, job, *self._each(begun))

    def _counted(self, region: str, to: str, told: Callable[[str, Counted], None]) -> int:
        """The letters that a region acts for, part by part."""
        so_far = Counted(0, 0)
        while True:
            asked = {**self._which, "to": to, "dry": True, "start": so_far.next}
            part = msgspec.convert(self._regions.ask(region, "POST", f"{self._path}/redrive", asked), Counted)
            so_far = Counted(so_far.letters + part.letters, so_far.looked_at + part.looked_at, part.next)
            if not so_far.next:
                return so_far.letters
            told(region, so_far)

    def _each(self, asked: Callable[[str], T]) -> tuple[dict[str, T], dict[str, ProaError]]:
        """What each region answers, and the errors of those that do not; the first one where nobody does."""
        answers: dict[str, T] = {}
        unheard: dict[str, ProaError] = {}
        for region in self._regions.regions(""):
            try:
                answers[region] = asked(region)
            except ProaError as error:
                unheard[region] = error
        if not answers:
            refused = (error for error in unheard.values() if not isinstance(error, RegionSilent))
            raise next(refused, Unavailable("; ".join(map(str, unheard.values()))))
        return answers, unheard

    def _acting(self, home: str) -> str:
        """The region that acts for a home."""
        for region, said in self._regions.ask_all("").items():
            if any((one["queue"], one["home"]) == (self.queue, home) for one in said["queues"]):
                return region
        raise Unavailable(f"no region that answers acts for the messages of {home}; `proa queue list` shows who does")

    def _one(self, message: str) -> str:
        return f"{self._path}/{quote(message)}"


def _plain(which: Which) -> dict[str, Any]:
    """The same as the control API takes it."""
    plain: dict[str, Any] = {**which}
    plain |= {name: _seconds(plain[name]) for name in ("since", "until") if name in plain}
    if "fields" in which:
        plain["fields"] = {name: _text(value) for name, value in which["fields"].items()}
    return plain


def _seconds(moment: Moment) -> float:
    """A point in time in seconds since 1970."""
    if isinstance(moment, timedelta):
        return time.time() - moment.total_seconds()
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise UsageError(f"{moment.isoformat()} has no time zone")
    return moment.timestamp()


def _text(value: Any) -> str:
    """A value as it is compared with those in bodies."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
