"""Levels: how old a row may be when it is read. `await stock.get("boat", level=bounded(5))`.

`strong`: what every commit acknowledged so far has made of it. `bounded(s)`: nothing that was overtaken more than `s`
seconds before the read began. Without a level, rows of `strong` tables are read strongly; all others are read locally,
as this region has them. What a level promises for each mode is told by `proa explain consistency APP`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proa.errors import DeclarationError


class Level(msgspec.Struct, frozen=True):
    """How a row is read. `within_s` is how old, in seconds, a row read at level `bounded` may be."""

    name: Literal["strong", "bounded"]
    within_s: float = 0.0

    def __str__(self) -> str:
        return f"bounded({self.within_s:g})" if self.name == "bounded" else self.name


strong = Level("strong")
"""What every commit acknowledged before the read began has made of the row, in whichever region it was."""


def bounded(seconds: float) -> Level:
    """A row that was current at some moment within so many seconds before the read began, or later.

    Raises:
        DeclarationError: `seconds` is negative or no number.
    """
    if not 0 <= seconds < float("inf"):
        raise DeclarationError(f"bounded() takes seconds from 0 on, not {seconds!r}")
    return Level("bounded", float(seconds))
