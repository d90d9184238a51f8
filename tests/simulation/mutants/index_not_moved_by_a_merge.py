"""Another region's commit replaces a row without its index entries."""

from proa.engines.sqlite.merging import Merging
from proa.engines.sqlite.tables import Tables


def plant(replace):
    merge_row, move, merging = Merging.row, Tables.move, []

    def merged(this, *arguments):
        merging.append(True)
        merge_row(this, *arguments)
        merging.pop()

    replace(Merging, "row", merged)
    replace(Tables, "move", lambda tables, *row: None if merging else move(tables, *row))
