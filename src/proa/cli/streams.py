"""`proa table streams`: how far each change stream has come, as the regions that process it tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proa.cli.output import FAILED, OK, print_json, print_table
from proa.cli.table import NOBODY, Who


def streams(app: str, *, common: Who = NOBODY) -> int:
    """Show how far each change stream has come with the changes of each origin, and what fails.

    Exits with 1 where a handler fails, or a region does not answer.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        common: which system, and who asks.
    """
    system = common.system(app)
    answers = system.ask_all("streams")
    found = listed(answers)
    if common.json:
        print_json({"streams": found})
    else:
        _print(found)
    failing = any(one["failing"] for one in found)
    return FAILED if failing or len(answers) < len(system.regions("")) else OK


def listed(answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the regions say, each line with the one that said it."""
    found = [one | {"region": region} for region, said in answers.items() for one in said["streams"]]
    return sorted(found, key=lambda one: (one["stream"], one["origin"], one["region"]))


def _print(found: Sequence[Mapping[str, Any]]) -> None:
    head = ("STREAM", "ORIGIN", "REGION", "POSITION", "LAG", "FAILING")
    print_table(head, [_line(one) for one in found])


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    failing = f"{one['failing']} ({one['attempts']} times in {one['failing_s']:.0f} s)" if one["failing"] else "-"
    return (one["stream"], one["origin"], one["region"], str(one["position"]), str(one["lag"]), failing)
