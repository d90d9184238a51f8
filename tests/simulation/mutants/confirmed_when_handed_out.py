"""A commit counts as confirmed when it was handed to a member, not when that has it durable."""

from proa.core import insync
from proa.runtime.confirm import Confirmations


def plant(replace):
    replace(Confirmations, "awaited", awaited)


def awaited(confirming):
    """Asked when a reply to a pull is about to leave."""
    group, own, now = confirming.group, confirming.own(), confirming._clock.monotonic()
    for member in group.counted:
        if peer := group.peers.get(member):
            group = insync.heard(group, member, {**peer.cursors, **own}, peer.epoch, own, now)
    confirming.take(group)
    return False
