"""`proa effect ...`: calls to the outside of which nobody knows how they ended, and what a person says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import msgspec
from cyclopts import App as Cli

from proa.cli.output import FAILED, OK, note, print_json, print_table
from proa.cli.table import NOBODY, System, Who, moment
from proa.errors import NotFound, UsageError

effect = Cli(name="effect", result_action="return_value", help_format="plaintext")
SHOWN = 60


@effect.command(name="list")
def list_(app: str, *, all: bool = False, common: Who = NOBODY) -> int:
    """Show the effects whose outcome is unknown: their units wait until a person says what became of them.

    Exits with 1 where there is one, or a region does not answer.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        all: show every claim that is kept, those that are done and those in flight, too.
        common: which system, and who asks.
    """
    system = common.system(app, "effects")
    answers = system.ask_all(f"?{urlencode({'all': 'true'})}" if all else "")
    found = _once(answers)
    if common.json:
        print_json({"effects": found})
    else:
        head = ("KEY", "EFFECT", "STATE", "REGION", "SINCE", "ARGUMENTS", "WHY")
        print_table(head, [_line(one) for one in found])
    waits = any(one["state"] == "unknown" for one in found)
    return OK if system.heard_all(answers) and not waits else FAILED


@effect.command
def show(app: str, key: str, *, common: Who = NOBODY) -> int:
    """Show everything that is known of one effect.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        key: the effect's key, as it is listed and as the other side was handed it.
        common: which system, and who asks.
    """
    one = _asked(common.system(app, "effects"), key)[1]
    if common.json:
        print_json(one)
    else:
        print_table(("WHAT", "VALUE"), [(name, _value(name, value)) for name, value in one.items()])
    return OK


@effect.command
def resolve(
    app: str, key: str, *, done: str | None = None, not_done: bool = False, why: str = "", common: Who = NOBODY
) -> int:
    """Say what became of an effect, after a look at the other side; the unit's next attempt goes on from there.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        key: the effect's key, as it is listed.
        done: it was done, with this result, as JSON of what the effect returns (`null` for none).
        not_done: it was not done; it is called again.
        why: the reason, for the audit log.
        common: which system, and who says so.
    """
    if (done is None) != not_done:
        raise UsageError("say either --done RESULT or --not-done")
    if done is not None and not _is_json(done):
        raise UsageError(f"--done takes JSON, such as '{{\"id\": 7}}' or null; {done!r} is none")
    system = common.system(app, "effects")
    region, one = _asked(system, key)
    told = {"key": key, "done": not not_done, "why": why} | ({"result": msgspec.Raw((done or "null").encode())})
    said = system.ask(region, "POST", "resolve", told)
    if common.json:
        print_json(said)
    else:
        became = "was not done: the next attempt calls it" if not_done else "was done: the next attempt goes on"
        note(f"{one['effect']} {key} {became}")
    return OK


def _asked(system: System, key: str) -> tuple[str, dict[str, Any]]:
    """An effect as the region tells it that may settle it, rather the one that called it."""
    found: list[tuple[bool, bool, str, dict[str, Any]]] = []
    for region in system.regions(""):
        with suppress(NotFound):
            if (one := system.heard(region, "GET", f"one?{urlencode({'key': key})}")) is not None:
                found.append((one["here"], one["region"] == region, region, one))
    if not found:
        raise NotFound(f"no region that answers knows an effect {key}")
    *_, region, one = max(found, key=lambda each: each[:2])
    return region, one


def _once(answers: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """What the regions say, each effect as one tells it that may settle it."""
    found: dict[str, dict[str, Any]] = {}
    for region, said in answers.items():
        for one in said["effects"]:
            if one["key"] not in found or (one["here"] and one["region"] == region):
                found[one["key"]] = one
    return sorted(found.values(), key=lambda one: one["at"])


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    arguments = msgspec.json.encode(one["arguments"]).decode()[:SHOWN]
    return (one["key"], one["effect"], one["state"], one["region"], moment(one["at"]), arguments, one["said"][:SHOWN])


def _value(name: str, value: Any) -> str:
    if name in ("at", "until"):
        return moment(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
