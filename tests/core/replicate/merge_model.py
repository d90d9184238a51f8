"""Regions that write one row and replicate it, as pure values: what every merge policy must survive."""

import random
from functools import reduce

from proa.core.replicate.journal import Row
from proa.core.replicate.merge import resolve
from proa.core.replicate.stamp import join

REGIONS = ("ap", "eu", "us")


class Region:
    """A replica of the row, the writes that it has, and what it may write next."""

    def __init__(self, name, policy):
        self.name, self.policy = name, policy
        self.life, self.seq = 1, 0
        self.row, self.applied = None, {}

    @property
    def origin(self):
        return f"{self.name}/{self.life}"

    def write(self, value, stamp):
        """Commit a value over what is here (None deletes); the row as it travels."""
        self.seq += 1
        dot = {self.origin: self.seq}
        if value is not None and hasattr(self.policy, "committed"):
            value = self.policy.committed(value, self.origin, self.seq, stamp)
        versions = join(self.row.versions if self.row else {}, dot)
        self.row = Row("t", "k", value, stamp, self.origin, self.seq, versions, 0)
        self.applied[self.row.dot] = self.row
        return self.row

    def apply(self, theirs):
        self.row, _ = resolve(self.policy, self.row, theirs)
        self.applied[theirs.dot] = theirs

    def lose_disk(self):
        self.life, self.seq, self.row, self.applied = self.life + 1, 0, None, {}


def course(policy, act, seed, length):
    """Writes of regions that meanwhile apply parts of what others have, in any order, and lose a disk now and then.

    `act(value, rng)` is the handler: the value that it writes over the one that it read (None: deleted, or absent).
    """
    rng, writes = random.Random(seed), []
    regions = [Region(name, policy) for name in REGIONS]
    for _ in range(length):
        region, other = rng.choice(regions), rng.choice(regions)
        if rng.random() < 0.05:
            region.lose_disk()
        if rng.random() < 0.6:
            for row in causally(other.applied.values(), rng)[: rng.randint(0, length)]:
                region.apply(row)
        stamp = max((row.stamp for row in region.applied.values()), default=0) + rng.randint(1, 3)
        writes.append(region.write(act(region.row and region.row.value, rng), stamp))
    return writes


def causally(rows, rng):
    """Rows in one of the orders in which each comes after all that it had seen."""
    left, done = list(rows), []
    while left:
        ready = [row for row in left if not any(saw(row, other) for other in left if other is not row)]
        done.append(rng.choice(ready))
        left.remove(done[-1])
    return done


def saw(row, other):
    """Whether the writer of `row` had seen the other write."""
    return row.versions.get(other.origin, 0) >= other.seq


def merged(policy, rows):
    """What a replica makes of rows in this order."""
    return reduce(lambda kept, row: resolve(policy, kept, row)[0], rows, None)


def shuffled(rows, rng):
    """The rows in another order, some of them several times."""
    other = rows + rng.choices(rows, k=rng.randint(0, len(rows)))
    rng.shuffle(other)
    return other


def in_pieces(policy, rows, rng):
    """What becomes of the rows when two replicas merge a part each, and then each other's result."""
    cut = rng.randint(1, len(rows))
    pieces = [merged(policy, piece) for piece in (shuffled(rows, rng)[:cut], rows)]
    return merged(policy, shuffled(pieces, rng))
