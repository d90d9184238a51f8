"""`proa queue ...`: what waits in queues, and pausing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclopts import App as Cli

from proa.cli.output import FAILED, OK, note, print_json, print_table
from proa.cli.table import NOBODY, Who
from proa.errors import NotFound

queue = Cli(name="queue", result_action="return_value", help_format="plaintext")


@queue.command(name="list")
def listed(app: str, name: str = "", *, common: Who = NOBODY) -> int:
    """Show how many messages wait for each home, for how long, who hands them out, and how fast that goes.

    Exits with 1 where a region does not answer.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of one queue only.
        common: which system, and who asks.
    """
    system = common.system(app, "queues")
    answers = system.ask_all("")
    found = [one | {"region": region} for region, said in answers.items() for one in said["queues"]]
    shown = sorted((one for one in found if name in ("", one["queue"])), key=lambda one: (one["queue"], one["home"]))
    if name and not shown:
        raise NotFound(f"no region that answers has a queue {name!r}; `proa queue list` without a name shows all")
    if common.json:
        print_json({"queues": shown})
    else:
        head = ("QUEUE", "OF", "HANDLED BY", "DEPTH", "OUT", "AGE S", "PER S", "RUNS AT MOST", "STATE")
        print_table(head, [_line(one) for one in shown])
    return OK if system.heard_all(answers) else FAILED


@queue.command
def pause(app: str, name: str, *, why: str = "", common: Who = NOBODY) -> int:
    """Hand out nothing more of a queue, in every region, until it is resumed. What is sent waits.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of the queue.
        why: the reason, shown with the queue and in the audit log.
        common: which system, and who asks.
    """
    return _set(app, name, "pause", why, common)


@queue.command
def resume(app: str, name: str, *, why: str = "", common: Who = NOBODY) -> int:
    """Let a paused queue go on.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of the queue.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    return _set(app, name, "resume", why, common)


def _set(app: str, name: str, what: str, why: str, common: Who) -> int:
    """Ask the first region that answers: what it writes down, all others learn."""
    said = common.system(app, "queues").ask_first("POST", f"{name}/{what}", {"why": why})
    if common.json:
        print_json(said)
    else:
        note(f"queue {name} is {what}d; regions that do not answer now learn it when they are back")
    return OK


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    depth = (str(one["depth"]), str(one["out"]), f"{one['age_s']:.1f}", f"{one['per_s']:.1f}")
    at_most = f"{one['allowed']} of {one['concurrency']}"
    state = f"paused: {one['paused']}" if one["paused"] else "slowed: the store is behind" if one["slowed"] else "ok"
    return (one["queue"], one["home"], one["region"], *depth, at_most, state)
