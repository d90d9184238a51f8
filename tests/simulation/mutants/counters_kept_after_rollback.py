"""A batch that found no room is rolled back on the disk, but the counters in memory go on as if it had not been."""

from proa.engines.sqlite.group import GroupCommit


def plant(replace):
    replace(GroupCommit, "_roll_back", roll_back_file_alone)


def roll_back_file_alone(group):
    if group._connection.in_transaction:
        group._connection.execute("ROLLBACK")
