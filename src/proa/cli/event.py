"""`proa event ...`: an app's events and who subscribes to them, and replaying those of a time to a subscription."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from cyclopts import App as Cli

from proa.cli.output import FAILED, OK, print_json, print_table
from proa.cli.table import NOBODY, System, Who, since_of
from proa.declare.events import Event, Subscription
from proa.errors import UsageError
from proa.local.plane import declared

event = Cli(name="event", result_action="return_value", help_format="plaintext")

TRIES = 5
PAUSE_S = 1.0
PAGE = 500


@event.command(name="list")
def listed(app: str, *, json: bool = False) -> int:
    """Show each event, its version, and its subscriptions.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        json: print JSON.
    """
    events = declared(app).events.values()
    if json:
        print_json({"events": [_shown(one) for one in events]})
        return OK
    rows = [_line(one, subscription) for one in events for subscription in [*one.subscriptions.values()] or [None]]
    print_table(("EVENT", "VERSION", "KEPT", "SUBSCRIPTION", "DELIVER", "FILTER"), rows)
    return OK


@event.command
def replay(  # noqa: PLR0913 - the options of a command, each by name
    app: str,
    name: str,
    *,
    to: str,
    since: str,
    until: str = "0s",
    dry_run: bool = False,
    rate: float = 0.0,
    region: str = "",
    common: Who = NOBODY,
) -> int:
    """Send the events of a time once more, to one subscription.

    They keep their ids. Events are kept for the event's `retention_s`. Exits with 1 where the region stops to answer;
    what was sent by then is said.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of the event.
        to: the subscription.
        since: not older than this: an age such as `90s`, `15m`, `2h`, `7d`, or a time such as `2026-01-31T12:00`.
        until: older than this, in the same way; now unless given.
        dry_run: send nothing, and say how many messages would be.
        rate: at most so many messages a second; 0: as fast as it goes.
        region: the one that is asked to send them; the first unless given.
        common: which system, and who asks.
    """
    system = common.system(app, "replays")
    by = (system.regions(region) if region else system.regions(""))[0]
    begin, end = since_of(since), since_of(until)
    wanted = {"event": name, "to": to, "since": begin, "until": end, "dry_run": dry_run}
    if begin >= end:
        raise UsageError(f"since {since!r} is not before until {until!r}")
    done = _pages(system, by, wanted | {"replay": secrets.token_hex(8), "limit": PAGE}, rate)
    if common.json:
        print_json(done | {"event": name, "to": to, "region": by, "dry_run": dry_run})
    else:
        head = ("EVENT", "TO", "EVENTS SEEN", "MESSAGES", "")
        print_table(head, [(name, to, str(done["seen"]), str(done["sent"]), "not sent" if dry_run else "sent")])
    return OK if done["finished"] else FAILED


def _pages(system: System, region: str, wanted: dict[str, Any], rate: float) -> dict[str, Any]:
    """Page after page; what was seen and sent, and whether that was all."""
    seen = sent = 0
    while True:
        said = _page(system, region, wanted)
        if said is None:
            return {"seen": seen, "sent": sent, "finished": False}
        pace_s = (said["sent"] - (0 if wanted["dry_run"] else sent)) / rate if rate > 0 else 0.0
        before = (seen, sent) if wanted["dry_run"] else (0, 0)  # a page of a dry run counts for itself
        seen, sent = before[0] + said["seen"], before[1] + said["sent"]
        if not said["next"]:
            return {"seen": seen, "sent": sent, "finished": True}
        wanted = wanted | {"after": said["next"]}
        time.sleep(pace_s)


def _page(system: System, region: str, wanted: Mapping[str, Any]) -> Any:
    """One page; asked for again where nobody knows whether it was sent, which sends it once."""
    for attempt in range(TRIES):
        if (said := system.heard(region, "POST", "", wanted)) is not None:
            return said
        if attempt + 1 < TRIES:
            time.sleep(PAUSE_S)
    return None


def _shown(one: Event[Any]) -> dict[str, Any]:
    subscriptions = [
        {"name": subscription.name, "deliver": _deliver(subscription), "filter": subscription.shown}
        for subscription in one.subscriptions.values()
    ]
    return {
        "event": one.name,
        "version": one.version,
        "retention_s": one.retention_s,
        "schema": one.schema,
        "subscriptions": subscriptions,
    }


def _line(one: Event[Any], subscription: Subscription[Any] | None) -> tuple[str, ...]:
    about = (one.name, str(one.version), f"{one.retention_s / 3600:g} h" if one.retention_s else "-")
    if subscription is None:
        return (*about, "-", "-", "-")
    return (*about, subscription.name.removeprefix(f"{one.name}."), _deliver(subscription), subscription.shown or "-")


def _deliver(subscription: Subscription[Any]) -> str:
    return "everywhere" if subscription.everywhere else "once"
