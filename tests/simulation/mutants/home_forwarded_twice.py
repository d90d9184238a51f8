"""A request that its row's home did not answer is handed on again, with or without an Idempotency-Key."""

from proa.errors import LinkTimeout, OutcomeUnknown
from proa.runtime.forward import Forwarder

ASKED = Forwarder._asked


def plant(replace):
    replace(Forwarder, "_asked", asked)


async def asked(self, home, call):
    try:
        return await ASKED(self, home, call)
    except OutcomeUnknown as error:
        if isinstance(error.__cause__, LinkTimeout):
            call.deadline += 1.0
            return await ASKED(self, home, call)
        raise
