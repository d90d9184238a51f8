"""`proa saga ...`: which sagas go on, are stuck or failed; and what a person does with one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from cyclopts import App as Cli
from cyclopts import Parameter

from proa.cli.output import FAILED, OK, note, print_json, print_table
from proa.cli.table import NOBODY, System, Who, moment
from proa.errors import NotFound, NotHome, Unavailable, UsageError
from proa.operate.moving import LOOK_EVERY_S

saga = Cli(name="saga", result_action="return_value", help_format="plaintext")
SHOWN = 60
HEAD = ("SAGA", "ID", "STATUS", "STEPS", "WAITS FOR", "SINCE", "WHY")


@saga.command(name="list")
def list_(
    app: str,
    name: str = "",
    *,
    status: Literal["", "running", "undoing", "stuck", "done", "failed"] = "",
    common: Who = NOBODY,
) -> int:
    """Show the sagas that go on or are stuck, or those of one status.

    Exits with 1 where one is stuck, or a region does not answer.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: the saga's name; all unless given.
        status: running, undoing, stuck, done or failed.
        common: which system, and who asks.
    """
    system = common.system(app, "sagas")
    answers = system.ask_all(f"?{urlencode({'saga': name, 'status': status})}")
    found = sorted((one for said in answers.values() for one in said["sagas"]), key=lambda one: one["started_at"])
    if common.json:
        print_json({"sagas": found})
    else:
        print_table(HEAD, [_line(one) for one in found])
    stuck = any(one["status"] == "stuck" for one in found)
    return OK if system.heard_all(answers) and not stuck else FAILED


@saga.command
def show(app: str, name: str, id: str, *, common: Who = NOBODY) -> int:
    """Show one saga: what it was started with, each step, and what it waits for.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: the saga's name.
        id: its id.
        common: which system, and who asks.
    """
    system = common.system(app, "sagas")
    query = urlencode({"saga": name, "id": id})
    said = _at_home(system, "GET", f"one?{query}")
    if common.json:
        print_json(said)
        return OK
    print_table(HEAD, [_line(said["line"])])
    note(f"started with {_json(said['input'])}, version {said['line']['version']}, by unit {said['unit']}")
    print_table(("STEP", "KIND", "NAME", "STATE", "AT", "RESULT"), [_step(step) for step in said["steps"]])
    if said["signals"]:
        note(f"signals that wait: {', '.join(said['signals'])}")
    return OK


@saga.command
def retry(
    app: str,
    name: str,
    id: str,
    *,
    from_: Annotated[int | None, Parameter(name="--from")] = None,
    why: str = "",
    common: Who = NOBODY,
) -> int:
    """Let a saga go on that is stuck, or that failed.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: the saga's name.
        id: its id.
        from_: the number of the step from which on it does everything again; where it stopped unless given.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    return _act(app, "retry", {"saga": name, "id": id, "step": from_, "why": why}, common)


@saga.command
def cancel(app: str, name: str, id: str, *, why: str = "", wait: bool = False, common: Who = NOBODY) -> int:
    """End a saga at the step at which it next waits; it undoes what it did. A step that runs is not interrupted.

    While one runs the saga is told as cancelling.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: the saga's name.
        id: its id.
        why: the reason, for the audit log.
        wait: wait until it has ended; exits with 1 where it was done before it came to be cancelled, or is stuck.
        common: which system, and who asks.
    """
    system = common.system(app, "sagas")
    said = _at_home(system, "POST", "cancel", {"saga": name, "id": id, "why": why})
    if wait:
        said = _ended(system, name, id)
    _print(said, common)
    return FAILED if wait and said["status"] != "failed" else OK


@saga.command
def signal(
    app: str,
    name: str,
    id: str,
    signal: str,
    value: str = "null",
    *,
    why: str = "",
    common: Who = NOBODY,
) -> int:
    """Send a saga a signal.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: the saga's name.
        id: its id.
        signal: the signal's name.
        value: what it carries, as JSON.
        why: the reason, for the audit log.
        common: which system, and who sends it.
    """
    try:
        given = msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise UsageError(f"{value!r} is not JSON: {error}") from error
    return _act(app, "signal", {"saga": name, "id": id, "signal": signal, "value": given, "why": why}, common)


def _act(app: str, act: str, body: Mapping[str, Any], common: Who) -> int:
    _print(_at_home(common.system(app, "sagas"), "POST", act, body), common)
    return OK


def _print(line: Mapping[str, Any], common: Who) -> None:
    if common.json:
        print_json(line)
    else:
        print_table(HEAD, [_line(line)])


def _ended(system: System, name: str, id: str) -> Mapping[str, Any]:
    """A saga once it goes on no more by itself."""
    query = urlencode({"saga": name, "id": id})
    while (line := _at_home(system, "GET", f"one?{query}")["line"])["status"] in ("running", "undoing"):
        time.sleep(LOOK_EVERY_S)
    return line


def _at_home(system: System, method: str, path: str, body: Any = None) -> Any:
    """The answer of the region that acts for a saga's home; where that knows no such saga, it is what counts."""
    refused: list[Exception] = []
    for region in system.regions(""):
        try:
            if (said := system.heard(region, method, path, body)) is not None:
                return said
        except NotFound as error:
            refused.insert(0, error)
        except NotHome as error:
            refused.append(error)
    raise refused[0] if refused else Unavailable("no region answers")


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    waits = one["waits"] + (f" until {moment(one['due'])}" if one["due"] else "")
    why = one["said"][:SHOWN]
    return (one["saga"], one["id"], one["status"], str(one["steps"]), waits or "-", moment(one["started_at"]), why)


def _step(step: Mapping[str, Any]) -> tuple[str, ...]:
    state = step["state"] + (", undone" if step["undone"] else f", undo {step['undo']}" if step["undo"] else "")
    told = step["said"] if step["state"] == "failed" else _json(step["result"])
    return (str(step["number"]), step["kind"], step["name"] or "-", state, moment(step["at"]), told[:SHOWN])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
