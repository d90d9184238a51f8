"""`proa table streams` and `proa table rebuild`: how far each change stream has come, and telling it what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proa.cli.output import FAILED, OK, note, print_json, print_table
from proa.cli.table import NOBODY, System, Who
from proa.errors import UsageError


def streams(app: str, *, skip: str = "", origin: str = "", why: str = "", common: Who = NOBODY) -> int:
    """Show how far each change stream has come with the changes of each origin, and what fails.

    Exits with 1 where a handler fails, or a region does not answer.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        skip: a stream that fails; it passes over the commit, or the row, on which it does.
        origin: the origin whose change is skipped, as it is listed.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    if bool(skip) != bool(origin):
        raise UsageError("--skip names a stream and --origin whose change: give both or neither")
    system = common.system(app)
    if skip:
        return _skip(system, skip, origin, why, common)
    answers = system.ask_all("streams")
    found = listed(answers)
    if common.json:
        print_json({"streams": found})
    else:
        _print(found)
    failing = any(one["failing"] for one in found)
    return OK if system.heard_all(answers) and not failing else FAILED


def _skip(system: System, stream: str, origin: str, why: str, common: Who) -> int:
    found = listed(system.ask_all("streams"))
    failing = [one for one in found if (one["stream"], one["origin"]) == (stream, origin) and one["failing"]]
    if not failing:
        note(f"{stream} fails on nothing of {origin}")
        return FAILED
    (one, *_) = failing
    body = {"stream": stream, "origin": origin, "position": one["position"], "walking": one["walking"], "why": why}
    said = system.ask(one["region"], "POST", "streams/skip", body)
    if common.json:
        print_json(said)
    else:
        print_table(("STREAM", "ORIGIN", "SKIPPED"), [(stream, origin, key) for key in said["skipped"]])
    return OK


def rebuild(app: str, stream: str, *, why: str = "", common: Who = NOBODY) -> int:
    """Clear what a change stream made and tell it everything again; `proa table streams` shows how far that is.

    Exits with 1 where the changes of some region are not told again, because nobody who processes them answers.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        stream: the name of the stream, which needs a reset handler.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    system = common.system(app)
    answers = system.ask_each("POST", "streams/rebuild", {"stream": stream, "why": why})
    begun: dict[str, Sequence[str]] = {region: said["regions"] for region, said in answers.items()}
    left = sorted(set(system.regions("")) - {of for regions in begun.values() for of in regions})
    if common.json:
        print_json({"stream": stream, "begun": begun, "left": left})
    else:
        rows = [(stream, of, region) for region, regions in begun.items() for of in regions]
        print_table(("STREAM", "CHANGES OF", "REGION"), rows)
    if left:
        note(f"the changes of {', '.join(left)} are not told again: no region that answers processes any; run it again")
    return FAILED if left else OK


def listed(answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the regions say, each line with the one that said it."""
    found = [one | {"region": region} for region, said in answers.items() for one in said["streams"]]
    return sorted(found, key=lambda one: (one["stream"], one["origin"], one["region"]))


def _print(found: Sequence[Mapping[str, Any]]) -> None:
    head = ("STREAM", "ORIGIN", "REGION", "POSITION", "LAG", "READS", "FAILING")
    print_table(head, [_line(one) for one in found])


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    failing = f"{one['failing']} ({one['attempts']} times in {one['failing_s']:.0f} s)" if one["failing"] else "-"
    reads = f"rows after {one['walking']}" if one["walking"] else "journal"
    return (one["stream"], one["origin"], one["region"], str(one["position"]), str(one["lag"]), reads, failing)
