"""A disk is taken for what it was as long as its own sequence shows no gap: what it had of others is not asked for."""

from proa.runtime.replicator import Replicator


def plant(replace):
    async def nothing_forgotten(*_):
        return False

    replace(Replicator, "forgotten", nothing_forgotten)
