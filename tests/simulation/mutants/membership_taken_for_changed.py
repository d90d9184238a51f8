"""A change of the in-sync set whose reply was lost is taken for made."""

import msgspec

from proa.control.insync import Keeper


def plant(replace):
    replace(Keeper, "_unanswered", taken_for_made)


def taken_for_made(keeper, _error):
    group = keeper._confirming.group
    keeper._confirming.take(msgspec.structs.replace(group, row=group.proposed, proposed=None))
