"""A commit that read a parked row is merged, as long as it wrote no such row itself."""

from proa.core.replicate.journal import past_cut
from proa.engines.sqlite import region_store


def plant(replace):
    replace(region_store, "parks", parks_writers_alone)


def parks_writers_alone(commit, cuts, _parked):
    return past_cut(commit, cuts) if commit.fenced_rows else None
