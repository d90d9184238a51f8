"""The configuration of one system: its nodes, where they listen, and how each reaches the others.

`proa dev` and `proa drill` write it to `cluster.json` in the state directory (mode 0600: it holds the secret that the
nodes show each other), and every node process is started with that file and its own name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from proa.core.roles import NodeKind

DATABASE = "global-store"
"""The name under which a relay knows the database of the global store."""


class Address(msgspec.Struct, frozen=True):
    """A TCP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class NodeConfig(msgspec.Struct, frozen=True):
    """One node: where it listens for other nodes (`link`) and for HTTP (`http`; the edge's is the clients' door)."""

    name: str
    kind: NodeKind
    link: Address
    http: Address | None = None
    admin: Address | None = None
    data_dir: str = ""


class ClusterConfig(msgspec.Struct, frozen=True):
    """One whole system.

    `global_store` is the address of the database that holds it; the witness does where there is none.
    `via` overrides addresses per caller: `via[caller][target]` where a relay stands between them; key `target/http` is
    the override of the target's HTTP address. `lease_s` and `failover` replace the app's own; `hold_down_s` is how long
    a region must have been well before it is given its role back.
    """

    app: str
    state_dir: str
    secret: str
    nodes: dict[str, NodeConfig]
    via: dict[str, dict[str, Address]] = {}
    lease_s: float | None = None
    failover: Literal["approval", "automatic"] | None = None
    confirm_ends: bool = True
    hold_down_s: float | None = None
    global_store: str = ""

    def node(self, kind: NodeKind) -> str:
        """The name of the one witness or edge."""
        return next(name for name, node in self.nodes.items() if node.kind == kind)

    def regions(self) -> tuple[str, ...]:
        """The regions, in declared order."""
        return tuple(name for name, node in self.nodes.items() if node.kind == "region")

    def link_address(self, caller: str, target: str) -> Address:
        """Where `caller` reaches the link of `target`."""
        return self.via.get(caller, {}).get(target, self.nodes[target].link)

    def http_address(self, caller: str, target: str) -> Address:
        """Where `caller` reaches the HTTP port of `target`."""
        address = self.via.get(caller, {}).get(f"{target}/http") or self.nodes[target].http
        assert address is not None
        return address


def load(path: Path) -> ClusterConfig:
    """Read `cluster.json`."""
    return msgspec.json.decode(path.read_bytes(), type=ClusterConfig)


def save(config: ClusterConfig, path: Path) -> None:
    """Write `cluster.json`, readable by its owner alone."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(config)))
