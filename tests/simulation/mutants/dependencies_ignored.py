"""A commit is applied as soon as it arrives, whether or not those are here that it was built on."""

from proa.engines.sqlite import applying


def plant(replace):
    replace(applying, "missing", lambda *_: {})
