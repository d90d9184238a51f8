"""A commit is applied as soon as it arrives, whether or not those are here that it was built on."""

from proa.engines.sqlite import region_store


def plant(replace):
    replace(region_store, "missing", lambda *_: {})
