"""Another region's commit replaces a row without its index entries."""

from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.engines.sqlite.tables import Tables


def plant(replace):
    merge_row, move, merging = SqliteRegionStore._merge_row, Tables.move, []

    def merged(store, *arguments):
        merging.append(True)
        merge_row(store, *arguments)
        merging.pop()

    replace(SqliteRegionStore, "_merge_row", merged)
    replace(Tables, "move", lambda tables, *row: None if merging else move(tables, *row))
