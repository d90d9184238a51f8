"""What people do to a running system, for their programs: scripts, notebooks, runbooks.

Everything here waits for its answers, needs nothing but msgspec, and raises errors of `proa.errors`. `proa dlq` is a
layer over it::

    from datetime import timedelta

    from proa.operate import System

    typos = System(token="ada....").dead_letters("receipts").where(code="PROA-M002", since=timedelta(hours=2))
    for letter in typos.latest():
        print(letter.message, letter.said)
    moving = typos.redrive(rate=200, why="mended")
    moving.wait()
    print(moving.moved, moving.unheard)
"""

from proa.operate.dead_letters import Count, DeadLetters, Moment, Which
from proa.operate.moving import Moving
from proa.operate.system import System
from proa.runtime.messages.dead import Counted, Job, Letter, Page, Tried

__all__ = ["Count", "Counted", "DeadLetters", "Job", "Letter", "Moment", "Moving", "Page", "System", "Tried", "Which"]
