"""`proa schedule ...`: where schedules stand, and running, pausing and resuming them.

Each schedule is run by one region at a time (or, with `once="region"`, by each for itself); a command asks all regions
and acts where it is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cyclopts import App as Cli

from proa.cli.output import FAILED, OK, print_json, print_table
from proa.cli.table import NOBODY, System, Who, moment
from proa.errors import NotFound

schedule = Cli(name="schedule", result_action="return_value", help_format="plaintext")


@schedule.command(name="list")
def listed(app: str, *, common: Who = NOBODY) -> int:
    """Show each schedule: which region runs it, when it is due next, what it has done, and what fails.

    Exits with 1 where a tick fails, or a region does not answer.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        common: which system, and who asks.
    """
    system = common.system(app, "schedules")
    answers = system.ask_all("")
    found = _known(answers)
    if common.json:
        print_json({"schedules": found})
    else:
        head = ("SCHEDULE", "OF", "DUE", "RUN BY", "NEXT", "LAST", "FIRED", "FAILED", "SKIPPED", "STATE")
        print_table(head, [_line(one) for one in found])
    failing = any(one["failing"] for one in found)
    return OK if system.heard_all(answers) and not failing else FAILED


@schedule.command
def run(app: str, name: str, *, why: str = "", common: Who = NOBODY) -> int:
    """Run a schedule once, now, besides its due times; also one that is paused.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of the schedule.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    return _act(common.system(app, "schedules"), name, "run", why, common)


@schedule.command
def pause(app: str, name: str, *, why: str = "", common: Who = NOBODY) -> int:
    """Let a schedule run nothing until it is resumed.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of the schedule.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    return _act(common.system(app, "schedules"), name, "pause", why, common)


@schedule.command
def resume(app: str, name: str, *, why: str = "", common: Who = NOBODY) -> int:
    """Let a paused schedule go on with what is due from now on.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of the schedule.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    return _act(common.system(app, "schedules"), name, "resume", why, common)


def _act(system: System, name: str, what: str, why: str, common: Who) -> int:
    """Ask every region that runs the schedule.

    Raises:
        NotFound: none does.
    """
    running = dict.fromkeys(one["region"] for one in _known(system.ask_all("")) if one["schedule"] == name)
    if not running:
        raise NotFound(
            f"no region that answers runs a schedule {name!r}; `proa schedule list` shows those that are run"
        )
    answers = {region: system.heard(region, "POST", f"{name}/{what}", {"why": why}) for region in running}
    done: dict[str, Sequence[str]] = {region: said["of"] for region, said in answers.items() if said is not None}
    if common.json:
        print_json({"schedule": name, "done": done})
    else:
        print_table(
            ("SCHEDULE", "OF", "REGION"), [(name, of or "-", by) for by, all_of in done.items() for of in all_of]
        )
    return OK if len(done) == len(running) else FAILED


def _known(answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the regions say, each line with the one that said it."""
    found = [one | {"region": region} for region, said in answers.items() for one in said["schedules"]]
    return sorted(found, key=lambda one: (one["schedule"], one["of"]))


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(one["fired"]), str(one["failed"]), str(one["skipped"]))
    times = tuple("-" if at is None else moment(at, "seconds") for at in (one["next"], one["last"]))
    return (one["schedule"], one["of"] or "-", one["timing"], one["region"], *times, *counts, _state(one))


def _state(one: Mapping[str, Any]) -> str:
    if one["failing"]:
        return f"failing: {one['failing']} ({one['attempts']} times)"
    if one["paused"]:
        return "paused"
    return f"last one given up: {one['error']}" if one["error"] else "ok"
