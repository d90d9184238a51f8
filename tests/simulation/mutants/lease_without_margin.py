"""The challenger takes over as soon as the region is down by quorum: it does not wait for the old lease to end."""

from proa.core.lease import LeaseWatch


def plant(replace):
    replace(LeaseWatch, "remaining_s", lambda *_: 0.0)
