"""Whoever has a commit serves it, whether or not it has all that the other region may hold."""

from proa.core import residency
from proa.engines.sqlite import region_store


def plant(replace):
    replace(residency, "lacks", lambda *_: False)
    replace(region_store, "lacks", lambda *_: False)
