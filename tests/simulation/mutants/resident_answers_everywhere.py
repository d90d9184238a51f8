"""Rows are withheld from a region that may not hold them, but the answer that tells of them is not."""

from proa.core import residency


def plant(replace):
    replace(residency, "readable", lambda *_: True)
