"""An effect whose attempt did not say how it ended is taken for not done."""

from proa.core import effect
from proa.runtime import effects


def plant(replace):
    replace(effects, "decide", decide)


def decide(claim, arguments, *, at_work, idempotent):
    return effect.decide(claim, arguments, at_work=at_work, idempotent=True)
