"""Every region that finds a doubled effect deals with it, instead of the one whose it is."""

from proa.runtime.authority import Authority
from proa.runtime.duplicates import DuplicateHandlers


def plant(replace):
    replace(DuplicateHandlers, "_due", lambda *_: True)
    replace(Authority, "may_acknowledge", lambda *_: True)
