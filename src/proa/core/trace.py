"""Traces: a unit that no caller named one for begins its own, which follows from its id."""

from __future__ import annotations


def own_trace(unit: str) -> str:
    """The W3C `traceparent` of a unit that began its trace."""
    return f"00-{unit}-{unit[16:]}-01"


def kept_trace(unit: str, trace: str) -> str:
    """What stores keep of a unit's trace: nothing where it is its own, in which its id stands."""
    return "" if unit in trace else trace
