"""Whatever a lost region still brings is merged, also what came after the cut that the new epoch began from."""

from proa.engines.sqlite import region_store


def plant(replace):
    replace(region_store, "parks", lambda *_: None)
