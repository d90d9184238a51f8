"""Which life a disk is."""

import pytest

from proa.core.incarnation import Disk, number_for
from proa.core.roles import Incarnation

ISSUED = Incarnation(3, "n3")


@pytest.mark.parametrize(
    ("issued", "disk", "head_reported", "number"),
    [
        (None, None, 0, 1),
        (ISSUED, Disk(3, "n3", 50), 50, 3),
        (ISSUED, Disk(3, "n3", 51), 50, 3),
        (ISSUED, None, 50, 4),
        (ISSUED, Disk(3, "n2", 50), 50, 4),
        (ISSUED, Disk(2, "n3", 50), 50, 4),
        (ISSUED, Disk(3, "n3", 49), 50, 4),
        (None, Disk(7, "x", 1), 0, 8),
    ],
    ids=["first", "same", "ahead of its report", "missing", "forked", "old copy", "restored", "store is new"],
)
def test_only_the_disk_that_continues_its_history_keeps_its_number(issued, disk, head_reported, number):
    assert number_for(issued, disk, head_reported) == number
