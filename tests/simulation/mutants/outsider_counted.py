"""Whoever has a commit confirms it, in the in-sync set or not."""

from proa.core.insync import Group


def plant(replace):
    replace(Group, "counted", property(lambda group: tuple(sorted(group.peers))))
