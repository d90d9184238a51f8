"""The standby is promoted as it is: it neither fetches what other survivors have nor proves that it has it."""

from proa.control.member import Obedience
from proa.core import failover


def plant(replace):
    replace(failover, "_reached", lambda *_: True)
    replace(Obedience, "_catch_up", stay_behind)


async def stay_behind(obedience, duty):
    obedience._caught_up = duty
