"""Who does what a region left to do: that region while it holds the right to write, else the next one that does."""

from __future__ import annotations

from proa.core.roles import Assignment


def stand_in(assignment: Assignment, region: str) -> str | None:
    """The region that acts for `region` in this epoch; None where nobody may write."""
    names = list(assignment.roles)
    begin = names.index(region) if region in names else 0
    return next((name for name in names[begin:] + names[:begin] if assignment.may_write(name)), None)
