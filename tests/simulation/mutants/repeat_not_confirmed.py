"""The repeat of a request that nobody has confirmed is answered from the record at once."""

from proa.runtime.confirm import Confirmations


def plant(replace):
    replace(Confirmations, "standing", standing)


async def standing(*_):
    return 0.0
