"""A fail-over goes on without asking the members of the in-sync set what they have."""

from proa.core import gate


def plant(replace):
    replace(gate, "members", lambda *_: ())
