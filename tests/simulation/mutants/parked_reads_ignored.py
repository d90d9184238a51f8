"""A commit that read a parked row is merged, as long as it wrote no such row itself."""

from proa.core.replicate.journal import past_cut
from proa.engines.sqlite import applying


def plant(replace):
    replace(applying, "parks", parks_writers_alone)


def parks_writers_alone(commit, cuts, _parked):
    return past_cut(commit, cuts) if commit.fenced_rows else None
