"""Events as lines for people: the time, what happened, and its values, on standard error."""

from __future__ import annotations

import time

import msgspec

from proa.cli.output import note
from proa.observe.logs import name_of


def line(event: msgspec.Struct) -> str:
    """`12:00:01 node ready: node eu-west-1, pid 4711, took_s 0.81`."""
    fields = ((name, getattr(event, name)) for name in event.__struct_fields__)
    said = ", ".join(f"{name} {_short(value)}" for name, value in fields if value not in (None, "", (), {}))
    return f"{time.strftime('%H:%M:%S')} {name_of(type(event))}{': ' if said else ''}{said}"


def told(event: msgspec.Struct) -> None:
    """Tell people."""
    note(line(event))


def as_data(event: msgspec.Struct) -> dict[str, object]:
    """For programs: the event's name and its fields."""
    return {"event": name_of(type(event)), "at": round(time.time(), 3), **msgspec.to_builtins(event)}


def _short(value: object) -> str:
    match value:
        case float():
            return f"{value:.3g}"
        case tuple() | list():
            items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType] - an event's own values
            return " ".join(map(str, items))
        case dict():
            pairs: dict[object, object] = value  # pyright: ignore[reportUnknownVariableType] - an event's own values
            return " ".join(f"{name} {item}" for name, item in pairs.items())
        case _:
            return str(value)
