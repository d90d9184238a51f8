"""A message leaves the global store as soon as one region has it, however soon that region's disk is lost."""

from proa.runtime.messages.relay import Relay


def plant(replace):
    replace(Relay, "_is_safe", lambda _self, mark: mark is not None)
