"""Compaction folds a commit that was set aside into the base, with everything else below the floor."""

from proa.engines.sqlite.base import Base

take = Base._take


def plant(replace):
    replace(Base, "_take", lambda base, commit, _parked: take(base, commit, ()))
