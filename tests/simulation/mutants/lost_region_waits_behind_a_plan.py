"""A plan that nobody has approved yet is in the way of every other one, also where a region is lost meanwhile."""

from proa.core import failover


def plant(replace):
    replace(failover, "_urgent", lambda *_: "")
