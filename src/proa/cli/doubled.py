"""`proa table duplicates`: the keys that two regions finished each for itself, as all regions list them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proa.cli.output import OK, VIOLATED, note, print_json, print_table
from proa.cli.table import NOBODY, Who, moment


def duplicates(app: str, *, waiting: bool = False, common: Who = NOBODY) -> int:
    """Show the keys that two regions finished, each for itself: both units, their answers, and who dealt with it.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        waiting: only those that nobody has dealt with; exits with 3 where there are some.
        common: which system, and who asks.
    """
    answers = common.system(app).ask_all("duplicates")
    found = merged(said["duplicates"] for said in answers.values())
    shown = [one for one in found if not (waiting and one["handled"])]
    if common.json:
        print_json({"duplicates": shown})
    else:
        _print(shown)
    return VIOLATED if waiting and shown else OK


def merged(lists: Iterable[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The lists of several regions as one, by the later unit; what one region knows to be handled is."""
    found: dict[str, dict[str, Any]] = {}
    for listed in lists:
        for one in listed:
            known = found.get(one["other"]["unit"], one)
            found[one["other"]["unit"]] = {
                **(known if known["other"]["region"] else one),  # a damaged record names none
                "handled": known["handled"] or one["handled"],
                "found_at": min(known["found_at"], one["found_at"]),
            }
    return sorted(found.values(), key=lambda one: (one["found_at"], one["other"]["unit"]))


def _print(found: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            one["route"],
            one["key"],
            *(_unit(one[side]) for side in ("kept", "other")),
            one["handled"] or "-",
        )
        for one in found
    ]
    print_table(("ROUTE", "KEY", "KEPT", "OTHER", "HANDLED BY"), rows)
    if unlike := [one["key"] for one in found if not one["same_payload"]]:
        note(f"{len(unlike)} keys carried two different requests, {unlike[0]} for one")


def _unit(one: Mapping[str, Any]) -> str:
    return f"{one['region']} {moment(one['at'])} {one['status']}" if one["region"] else "damaged"
