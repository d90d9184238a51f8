"""Every region that finds a doubled effect deals with it, instead of the one whose it is."""

from proa.runtime.duplicates import DuplicateHandlers


def plant(replace):
    replace(DuplicateHandlers, "_acts_for", lambda handlers, *_: handlers._authority.assignment is not None)
