"""Simulation: the author's own app, unchanged, in one deterministic world with virtual time and real faults.

`World` and `simulated` are the test kit for an app's own tests; `proa sim` runs whole scenarios.
"""

from proa.simulation.world import World, simulated

__all__ = ["World", "simulated"]
