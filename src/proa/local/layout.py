"""Where everything listens: one system's nodes, ports and, where there is distance between regions, relay routes.

Ports are taken from below the range that the system hands out to outgoing connections, so that no connection can take
the port of a node that is being restarted; and from a place that depends on the state directory, so that a system finds
its own ports again.
"""

from __future__ import annotations

import secrets
import socket
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypedDict

import msgspec

from proa.chaos.relay import Route
from proa.errors import PortTaken, UsageError
from proa.local.stores import place_of
from proa.runtime.config import DATABASE, Address, ClusterConfig, NodeConfig

HOST = "127.0.0.1"
PORTS = range(10_240, 32_768)
CLIENT = "client"
"""The name under which the supervisor's callers reach regions past the edge; it is near every node."""


class Options(TypedDict, total=False):
    """The options of a local system, all of them optional.

    `port` is the edge's (any free one unless given); `rtt_ms` the round trip between regions, the witness being a place
    of its own; `relay` puts the relay between the nodes even without distance, which blackouts need; `lease_s` and
    `failover` overrule the app's; `confirm_ends=False` leaves the end of a killed region to its lease;
    `hold_down_s` is how long a region must have been well before it is given its role back; `global_store` the address
    of the database that holds the global store, which is the witness's otherwise.
    """

    port: int | None
    rtt_ms: float
    relay: bool
    lease_s: float | None
    failover: Literal["approval", "automatic"] | None
    confirm_ends: bool
    hold_down_s: float | None
    global_store: str


class Layout(msgspec.Struct, frozen=True):
    """One system as it will be started."""

    config: ClusterConfig
    routes: tuple[Route, ...]


def lay_out(app: str, regions: Sequence[str], state_dir: Path, options: Options) -> Layout:
    """Choose ports and a secret.

    Raises:
        PortTaken: the port asked for, or every port, is in use.
        UsageError: an option has a value that no system could run with.
    """
    _check(options)
    ports = free_ports(zlib.crc32(str(state_dir).encode()))
    nodes = _nodes(regions, state_dir, ports, options.get("port"))
    config = ClusterConfig(
        app=app,
        state_dir=str(state_dir),
        secret=secrets.token_hex(32),
        nodes=nodes,
        lease_s=options.get("lease_s"),
        failover=options.get("failover"),
        confirm_ends=options.get("confirm_ends", True),
        hold_down_s=options.get("hold_down_s"),
        global_store=options.get("global_store", ""),
    )
    rtt_s = options.get("rtt_ms", 0.0) / 1000
    if rtt_s <= 0 and not options.get("relay", False):
        return Layout(config, ())
    via, routes = _relayed(config, ports, rtt_s / 2)
    return Layout(msgspec.structs.replace(config, via=via), routes)


def _nodes(
    regions: Sequence[str], state_dir: Path, ports: Iterator[Address], edge_port: int | None
) -> dict[str, NodeConfig]:
    nodes = {"witness": NodeConfig("witness", "witness", next(ports), data_dir=str(state_dir / "witness"))}
    for name in regions:
        nodes[name] = NodeConfig(name, "region", next(ports), http=next(ports), data_dir=str(state_dir / name))
    door = _asked(edge_port) if edge_port is not None else next(ports)
    nodes["edge"] = NodeConfig(
        "edge", "edge", next(ports), http=door, admin=next(ports), data_dir=str(state_dir / "edge")
    )
    return nodes


def _relayed(
    config: ClusterConfig, ports: Iterator[Address], delay_s: float
) -> tuple[dict[str, dict[str, Address]], tuple[Route, ...]]:
    """A listener of its own for every caller and every address of every other node."""
    places = {*config.regions(), config.node("witness"), DATABASE}
    via: dict[str, dict[str, Address]] = {}
    routes: list[Route] = []
    for caller in (*config.nodes, CLIENT):
        for target, label, address in _targets(config, caller):
            listen = next(ports)
            via.setdefault(caller, {})[label] = listen
            distance = delay_s if caller in places and target in places else 0.0
            routes.append(Route(caller, target, listen, address, distance))
    return via, tuple(routes)


def _targets(config: ClusterConfig, caller: str) -> Iterator[tuple[str, str, Address]]:
    """(target, its label in `via`, its address) of every address that `caller` may call."""
    for node in config.nodes.values():
        if node.name == caller or node.kind == "edge":
            continue
        if caller != CLIENT:
            yield node.name, node.name, node.link
        if node.http:
            yield node.name, f"{node.name}/http", node.http
    if config.global_store and caller != CLIENT and (place := place_of(config.global_store)):
        yield DATABASE, DATABASE, place


def free_ports(seed: int) -> Iterator[Address]:
    """Addresses on which nobody listens, one after another from a place that `seed` decides.

    Raises:
        PortTaken: there is none left.
    """
    for step in range(len(PORTS)):
        address = Address(HOST, PORTS[(seed + step) % len(PORTS)])
        if not unusable(address):
            yield address
    raise PortTaken(f"no free port between {PORTS.start} and {PORTS.stop}")


def _asked(port: int) -> Address:
    address = Address(HOST, port)
    if why := unusable(address):
        raise PortTaken(f"port {port} cannot be used: {why}")
    return address


def unusable(address: Address) -> str:
    """Why one could not listen there now; empty where one could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            return error.strerror or str(error)
        except OverflowError as error:
            return str(error)
    return ""


def _check(options: Options) -> None:
    """Refuse what no system could run with."""
    lease_s, rtt_ms = options.get("lease_s"), options.get("rtt_ms", 0.0)
    if lease_s is not None and lease_s <= 0:
        raise UsageError(f"lease_s must be positive, got {lease_s:g}")
    if rtt_ms < 0:
        raise UsageError(f"rtt_ms must not be negative, got {rtt_ms:g}")
