"""`proa dlq ...`: the messages that were given up; looking at them, sending them back, editing and purging them."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import App as Cli
from cyclopts import Parameter

from proa.cli.output import FAILED, INTERRUPTED, OK, note, print_json, print_table
from proa.cli.table import NOBODY, System, Who, moment, since_of
from proa.errors import UsageError

dlq = Cli(name="dlq", result_action="return_value", help_format="plaintext")
LOOK_EVERY_S = 0.2
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

    def asked(self) -> dict[str, Any]:
        """The same as the control API takes it."""
        fields = dict(_pair(text) for text in self.field or ())
        asked = {"error": self.error, "code": self.code, "message": self.message, "region": self.region}
        times = {name: since_of(text) for name, text in (("since", self.since), ("until", self.until)) if text}
        return {**asked, "fields": fields, **times}


EVERYTHING = Filter()
Which = Annotated[Filter, Parameter(name="*")]


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise UsageError(f"--field {text!r} is not name=value")
    return name, value


@dlq.command(name="list")
def listed(
    app: str, queue: str, *, limit: int = 20, start: str = "", which: Which = EVERYTHING, common: Who = NOBODY
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
        _look(common.system(app, "queues"), f"{queue}/dead", which.asked(), limit, page)
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
    print_json(common.system(app, "queues").ask_first("GET", f"{queue}/dead/{message}"))
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
    which: Which = EVERYTHING,
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
    asked = which.asked() | {"to": to, "dry": dry_run, "why": why} | ({"rate": rate} if rate else {})
    return _carry_out(common.system(app, "queues"), queue, "redrive", asked, common)


@dlq.command
def purge(
    app: str,
    queue: str,
    *,
    everything: bool = False,
    dry_run: bool = False,
    why: str = "",
    which: Which = EVERYTHING,
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
    if which == EVERYTHING and not everything and not dry_run:
        raise UsageError("this would remove every letter of the queue: say which, or --everything")
    asked = which.asked() | {"dry": dry_run, "why": why}
    return _carry_out(common.system(app, "queues"), queue, "purge", asked, common)


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
    system = common.system(app, "queues")
    home = system.ask_first("GET", f"{queue}/dead/{message}")["region"]
    print_json(system.ask(_acting(system, queue, home), "PUT", f"{queue}/dead/{message}", {"body": given, "why": why}))
    return OK


def _look(system: System, path: str, asked: Mapping[str, Any], limit: int, page: dict[str, Any]) -> None:
    """Look for letters from where a page ends, until it has so many or there are no more."""
    progress = Progress()
    while True:
        part = system.ask_first("POST", path, {**asked, "limit": limit - len(page["letters"]), "start": page["next"]})
        page["letters"] += part["letters"]
        page["next"] = part["next"]
        if not part["next"] or len(page["letters"]) >= limit:
            return
        progress.more(part["looked_at"], f"{len(page['letters']):,} found")


def _counted(system: System, region: str, path: str, asked: Mapping[str, Any], part: Mapping[str, Any]) -> int:
    """How many letters a region would move, of which it has told a part."""
    letters = part["letters"]
    progress = Progress()
    while part["next"]:
        progress.more(part["looked_at"], f"{letters:,} counted in {region}")
        part = system.ask(region, "POST", path, {**asked, "start": part["next"]})
        letters += part["letters"]
    return letters


class Progress:
    """Says now and then how many letters were looked through."""

    def __init__(self) -> None:
        self._looked_at = 0
        self._said_at = time.monotonic()

    def more(self, looked_at: int, so_far: str) -> None:
        """So many more were."""
        self._looked_at += looked_at
        if time.monotonic() >= self._said_at + SAY_EVERY_S:
            note(f"{self._looked_at:,} looked through, {so_far}")
            self._said_at = time.monotonic()


def _acting(system: System, queue: str, home: str) -> str:
    """The region that acts for a home."""
    answers = system.ask_all("")
    for region, said in answers.items():
        if any((one["queue"], one["home"]) == (queue, home) for one in said["queues"]):
            return region
    raise UsageError(f"no region that answers acts for the messages of {home}; `proa queue list` shows who does")


def _carry_out(system: System, queue: str, what: str, asked: Mapping[str, Any], common: Who) -> int:
    """Let every region do its share, and wait until all have."""
    path = f"{queue}/dead/{what}"
    begun = system.ask_each("POST", path, asked, missing="; what it acts for stays as it is")
    if asked["dry"]:
        letters = {region: {"letters": _counted(system, region, path, asked, part)} for region, part in begun.items()}
        return _tell(letters, common, "LETTERS")
    try:
        jobs = _awaited(system, queue, {region: said["id"] for region, said in begun.items()})
    except KeyboardInterrupt:
        jobs = {
            region: system.ask(region, "POST", f"{queue}/dead/cancel/{said['id']}") for region, said in begun.items()
        }
    code = _tell(jobs, common, "MOVED")
    return code if begun and all(job["state"] == "done" for job in jobs.values()) else FAILED


def _awaited(system: System, queue: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """The jobs, when none is running any more."""
    while True:
        jobs = {
            region: _job(system.ask(region, "GET", f"{queue}/dead/jobs")["jobs"], id_) for region, id_ in ids.items()
        }
        if all(job["state"] != "running" for job in jobs.values()):
            return jobs
        note(f"{sum(job['moved'] for job in jobs.values()):,} so far")
        time.sleep(LOOK_EVERY_S)


def _job(jobs: Sequence[Mapping[str, Any]], id_: str) -> Mapping[str, Any]:
    """The job of this id; a region that has begun anew meanwhile knows it no more."""
    return next(
        (job for job in jobs if job["id"] == id_),
        {"id": id_, "moved": 0, "state": "lost", "why": "the region started anew"},
    )


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


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    died = moment(one["died_at"], "seconds")
    said = one["said"].splitlines()[0][:SAID_SHOWN] if one["said"] else ""
    return (died, one["region"], one["message"], str(one["attempts"]), one["error"], one["fingerprint"], said)
