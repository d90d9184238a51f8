"""`proa dlq ...`: the messages that were given up; looking at them, sending them back, editing and purging them."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any

import msgspec
from cyclopts import App as Cli
from cyclopts import Parameter

from proa.cli.output import FAILED, INTERRUPTED, OK, note, print_json, print_table
from proa.cli.table import NOBODY, Who, moment, since_of
from proa.errors import ProaError, RegionSilent, UsageError
from proa.operate import Counted, DeadLetters, Letter, Moving, Which

dlq = Cli(name="dlq", result_action="return_value", help_format="plaintext")
SAY_EVERY_S = 1.0
SAID_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which letters are meant: those to which everything that is given applies."""

    error: str = ""
    """A fingerprint, as `proa dlq list` shows it."""
    code: str = ""
    """An error's code, or the name of an exception."""
    since: str = ""
    """Died not longer ago than this: an age such as `15m`, `2h`, `7d`, or a time such as `2026-01-31T12:00`."""
    until: str = ""
    """Died before this: an age or a time."""
    field: list[str] | None = None
    """A value in the body, `name=value` or `a.b=value`; may be given several times."""
    message: str = ""
    """One message's id."""
    region: str = ""
    """Of this region's messages only."""

    def of(self, common: Who, app: str, queue: str) -> DeadLetters:
        """The letters of a queue to which this applies."""
        which: Which = {"error": self.error, "code": self.code, "message": self.message, "region": self.region}
        which["fields"] = dict(_pair(text) for text in self.field or ())
        if self.since:
            which["since"] = since_of(self.since)
        if self.until:
            which["until"] = since_of(self.until)
        return _letters(common, app, queue).where(**which)


EVERYTHING = Filter()
Meant = Annotated[Filter, Parameter(name="*")]


def _letters(common: Who, app: str, queue: str) -> DeadLetters:
    return DeadLetters(common.system(app, "queues"), queue)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise UsageError(f"--field {text!r} is not name=value")
    return name, value


@dlq.command(name="list")
def listed(
    app: str, queue: str, *, limit: int = 20, start: str = "", which: Meant = EVERYTHING, common: Who = NOBODY
) -> int:
    """Show letters, the latest first. Every region has them all, so the first that answers is asked.

    A region looks through a bounded number at once, so it is asked again until there are enough. Ctrl-C shows what was
    found so far.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        queue: the queue in which they died.
        limit: so many.
        start: where an earlier page ended (`next`).
        which: letters of some kind only.
        common: which system, and who asks.
    """
    page: dict[str, Any] = {"letters": [], "next": start}
    try:
        _look(which.of(common, app, queue), limit, page)
    except KeyboardInterrupt:
        code = INTERRUPTED
    else:
        code = OK
    if common.json:
        print_json(page)
        return code
    print_table(
        ("DIED AT", "OF", "MESSAGE", "TRIED", "ERROR", "FINGERPRINT", "SAID"), [_line(one) for one in page["letters"]]
    )
    if page["next"]:
        note(f"there may be more: --start {page['next']}")
    return code


@dlq.command
def show(app: str, queue: str, message: str, *, common: Who = NOBODY) -> int:
    """Show one letter, with its body and every attempt.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        queue: the queue in which it died.
        message: its id.
        common: which system, and who asks.
    """
    print_json(_letters(common, app, queue).get(message))
    return OK


@dlq.command
def redrive(
    app: str,
    queue: str,
    *,
    to: str = "",
    rate: float | None = None,
    dry_run: bool = False,
    why: str = "",
    which: Meant = EVERYTHING,
    common: Who = NOBODY,
) -> int:
    """Send letters back to their queue, where their attempts count from none again. Ctrl-C stops where it stands.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        queue: the queue in which they died.
        to: another region that is to handle them.
        rate: at most so many a second, in each region.
        dry_run: only tell how many there are.
        why: the reason, for the audit log.
        which: letters of some kind only.
        common: which system, and who asks.
    """
    meant = which.of(common, app, queue)
    return _count(meant, to, common) if dry_run else _watch(meant.redrive(to=to, rate=rate or inf, why=why), common)


@dlq.command
def purge(
    app: str,
    queue: str,
    *,
    everything: bool = False,
    dry_run: bool = False,
    why: str = "",
    which: Meant = EVERYTHING,
    common: Who = NOBODY,
) -> int:
    """Remove letters for good. Ctrl-C stops where it stands.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        queue: the queue in which they died.
        everything: needed where no filter is given.
        dry_run: only tell how many there are.
        why: the reason, for the audit log.
        which: letters of some kind only.
        common: which system, and who asks.
    """
    meant = which.of(common, app, queue)
    return _count(meant, "", common) if dry_run else _watch(meant.purge(everything=everything, why=why), common)


@dlq.command
def edit(app: str, queue: str, message: str, body: str = "-", *, why: str = "", common: Who = NOBODY) -> int:
    """Give a letter another body, to be sent back with.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        queue: the queue in which it died.
        message: its id.
        body: the new body, in JSON; `-` takes it from standard input.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    text = sys.stdin.read() if body == "-" else body
    try:
        given = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    print_json(_letters(common, app, queue).edit(message, given, why=why))
    return OK


def _look(meant: DeadLetters, limit: int, page: dict[str, Any]) -> None:
    """Look for letters from where a page ends, until it has so many or there are no more."""
    progress, looked_at = Progress(), 0
    for part in meant.pages(limit, page["next"]):
        page["letters"] += part.letters
        page["next"] = part.next
        looked_at += part.looked_at
        progress.say(looked_at, f"{len(page['letters']):,} found")


def _count(meant: DeadLetters, to: str, common: Who) -> int:
    """Tell how many letters each region would move."""
    progress = Progress()

    def told(region: str, so_far: Counted) -> None:
        progress.say(so_far.looked_at, f"{so_far.letters:,} counted in {region}")

    count = meant.count(to=to, told=told)
    _note_unheard(count.unheard)
    return _tell({region: {"letters": letters} for region, letters in count.regions.items()}, common, "LETTERS")


def _watch(moving: Moving, common: Who) -> int:
    """Wait until every region has done its share."""
    told = dict(moving.unheard)
    _note_unheard(told)
    try:
        while not moving.wait(SAY_EVERY_S):
            note(f"{moving.moved:,} so far")
    except KeyboardInterrupt:
        moving.cancel()
    _note_unheard({region: error for region, error in moving.unheard.items() if region not in told})
    _tell({region: msgspec.to_builtins(job) for region, job in moving.jobs.items()}, common, "MOVED")
    return OK if all(job.state == "done" for job in moving.jobs.values()) else FAILED


def _note_unheard(unheard: Mapping[str, ProaError]) -> None:
    """Say who does not answer, or refuses."""
    for region, error in unheard.items():
        how = str(error) if isinstance(error, RegionSilent) else f"{region} refuses: {error}"
        note(f"{how}; what it acts for may stay as it is")


class Progress:
    """Says now and then how many letters were looked through."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def say(self, looked_at: int, so_far: str) -> None:
        """So many were, by now."""
        if time.monotonic() >= self._said_at + SAY_EVERY_S:
            note(f"{looked_at:,} looked through, {so_far}")
            self._said_at = time.monotonic()


def _tell(shares: Mapping[str, Mapping[str, Any]], common: Who, column: str) -> int:
    if common.json:
        print_json({"regions": shares})
        return OK
    rows = [
        (region, f"{share[column.lower()]:,}", str(share.get("state", "")), str(share.get("why", "")))
        for region, share in shares.items()
    ]
    print_table(("REGION", column, "STATE", "WHY"), rows)
    return OK


def _line(one: Letter) -> tuple[str, ...]:
    died = moment(one.died_at, "seconds")
    said = one.said.splitlines()[0][:SAID_SHOWN] if one.said else ""
    return (died, one.region, one.message, str(one.attempts), one.error, one.fingerprint, said)
