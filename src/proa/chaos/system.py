"""What a drill may do to a running system, and ask of it.

Drills know nothing of how the nodes are run: the local supervisor is one such system. The injector shares no channel
with detection: nothing here passes over the links, probes or stores that the system itself uses to notice a fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from proa.ports import GlobalStore

Stored = Mapping[str, list[tuple[str, bytes]]]
"""Rows of the global store by table: key and bytes, without tombstones."""


class System(Protocol):
    """A running system of regions, witness and edge."""

    @property
    def edge_url(self) -> str:
        """The clients' door, `http://host:port`."""
        ...

    @property
    def regions(self) -> Sequence[str]:
        """The regions, in declared order."""
        ...

    @property
    def witness(self) -> str:
        """The node that owns the global store, unless that is a service apart."""
        ...

    def region_url(self, name: str) -> str:
        """A region's own HTTP address, past the edge."""
        ...

    def data_dir(self, name: str) -> str:
        """The folder that holds a region's store; a drill counts rows in it, reading only."""
        ...

    async def stored(self, tables: Collection[str]) -> Stored:
        """The rows of tables of the global store, read past all who serve it."""
        ...

    def global_store(self) -> GlobalStore:
        """The global store, seen by a client of its own."""
        ...

    async def operator(self, name: str, role: str) -> str:
        """Add an operator (`viewer`, `operator`, `approver`) and return the token."""
        ...

    async def kill(self, name: str) -> None:
        """SIGKILL."""
        ...

    async def pause(self, name: str) -> None:
        """SIGSTOP."""
        ...

    async def resume(self, name: str) -> None:
        """SIGCONT."""
        ...

    async def restart(self, name: str) -> None:
        """Start an ended node again, with the disk it left; returns when it is ready."""
        ...

    async def blackout(self, name: str) -> None:
        """Swallow all bytes to and from the node, silently."""
        ...

    async def heal(self, name: str) -> None:
        """End the blackout."""
        ...
