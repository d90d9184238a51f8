"""A region that hands its role over in peace is taken to have stopped at once: nobody waits for its last sequence."""

from proa.core import gate


def plant(replace):
    drained = gate.drained
    replace(gate, "drained", lambda s, plan: plan.graceful or drained(s, plan))
