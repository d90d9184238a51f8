"""A row that moves to other regions is written there, and not deleted where it was."""

from proa.runtime.resident import Resident


def plant(replace):
    async def nowhere(*_):
        return []

    replace(Resident, "standing", nowhere)
