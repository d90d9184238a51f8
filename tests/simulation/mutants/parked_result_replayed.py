"""The commits past the cut are set aside, but their keys stay finished: a repeat is told that all is well."""

from proa.engines.sqlite.merging import Merging


def plant(replace):
    replace(Merging, "forget_outcome", lambda *_: None)
