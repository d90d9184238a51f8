"""The catalogue: every kind of fault by the name under which it is drawn, told and counted."""

from __future__ import annotations

from proa.simulation.faults.clocks import CLOCKS
from proa.simulation.faults.dependencies import DEPENDENCIES
from proa.simulation.faults.disks import DISKS
from proa.simulation.faults.kind import Kind
from proa.simulation.faults.network import NETWORK
from proa.simulation.faults.processes import PROCESSES

KINDS: dict[str, Kind] = {**PROCESSES, **NETWORK, **CLOCKS, **DISKS, **DEPENDENCIES}
