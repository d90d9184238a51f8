"""Faults as values: what is done to a node, and what undoes it.

A fault is injected from outside, by the hand that runs the processes and the wires. It tells nobody: how long it takes
until the system notices is part of what a drill measures.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proa.chaos.system import System

How = Literal["kill", "pause", "blackout"]


class Kill(msgspec.Struct, frozen=True, tag=True):
    """The process ends at once (SIGKILL); its disk stays."""

    node: str


class Pause(msgspec.Struct, frozen=True, tag=True):
    """The process stands still (SIGSTOP) and later goes on, unaware that time has passed."""

    node: str


class Blackout(msgspec.Struct, frozen=True, tag=True):
    """The process lives; all bytes to and from it are swallowed, without reset, end or refusal."""

    node: str


Fault = Kill | Pause | Blackout
KINDS: dict[How, type[Kill | Pause | Blackout]] = {"kill": Kill, "pause": Pause, "blackout": Blackout}


def fault(how: How, node: str) -> Fault:
    """The fault of this name."""
    return KINDS[how](node)


async def inject(system: System, fault: Fault) -> None:
    """Do it."""
    match fault:
        case Kill(node):
            await system.kill(node)
        case Pause(node):
            await system.pause(node)
        case Blackout(node):
            await system.blackout(node)


async def undo(system: System, fault: Fault) -> None:
    """End it: after this the node runs and can be reached again."""
    match fault:
        case Kill(node):
            await system.restart(node)
        case Pause(node):
            await system.resume(node)
        case Blackout(node):
            await system.heal(node)
