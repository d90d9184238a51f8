"""Ports, addresses and distances of a local system."""

import socket

import pytest

from proa.errors import PortTaken, UsageError
from proa.local.layout import HOST, PORTS, lay_out

REGIONS = ("eu-west-1", "us-east-1")


def test_every_address_is_different_and_on_loopback(tmp_path):
    layout = lay_out("app.py", REGIONS, tmp_path, {"rtt_ms": 80})
    nodes = layout.config.nodes.values()
    own = [address for node in nodes for address in (node.link, node.http, node.admin) if address]
    addresses = own + [route.listen for route in layout.routes]
    assert len(addresses) == len(set(addresses))
    assert {address.host for address in addresses} == {HOST}
    assert all(address.port in PORTS for address in addresses)


def test_without_distance_nothing_stands_between_the_nodes(tmp_path):
    layout = lay_out("app.py", REGIONS, tmp_path, {})
    assert (layout.routes, layout.config.via) == ((), {})
    assert layout.config.link_address("eu-west-1", "witness") == layout.config.nodes["witness"].link


def test_distance_lies_between_regions_and_the_witness_and_clients_are_near(tmp_path):
    layout = lay_out("app.py", REGIONS, tmp_path, {"rtt_ms": 80})
    distances = {(route.caller, route.target): route.delay_s for route in layout.routes}
    assert distances == {
        ("witness", "eu-west-1"): 0.04,
        ("witness", "us-east-1"): 0.04,
        ("eu-west-1", "witness"): 0.04,
        ("eu-west-1", "us-east-1"): 0.04,
        ("us-east-1", "witness"): 0.04,
        ("us-east-1", "eu-west-1"): 0.04,
        ("edge", "witness"): 0.0,
        ("edge", "eu-west-1"): 0.0,
        ("edge", "us-east-1"): 0.0,
        ("client", "eu-west-1"): 0.0,
        ("client", "us-east-1"): 0.0,
    }


def test_with_a_relay_every_caller_has_its_own_way_to_every_address(tmp_path):
    layout = lay_out("app.py", REGIONS, tmp_path, {"relay": True})
    ways = {(route.caller, route.listen): route.to for route in layout.routes}
    config = layout.config
    assert ways["us-east-1", config.link_address("us-east-1", "eu-west-1")] == config.nodes["eu-west-1"].link
    assert ways["edge", config.http_address("edge", "eu-west-1")] == config.nodes["eu-west-1"].http
    assert ways["client", config.http_address("client", "eu-west-1")] == config.nodes["eu-west-1"].http
    assert len({route.listen for route in layout.routes}) == len(layout.routes)


def test_a_system_finds_its_own_ports_again(tmp_path):
    first, second = (lay_out("app.py", REGIONS, tmp_path, {}).config for _ in range(2))
    assert first.nodes == second.nodes
    assert first.secret != second.secret


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken) as refused:
            lay_out("app.py", REGIONS, tmp_path, {"port": port})
    assert refused.value.detail == f"port {port} cannot be used: Address already in use"


@pytest.mark.parametrize("options", [{"lease_s": 0}, {"lease_s": -1.0}, {"rtt_ms": -1}])
def test_what_no_system_could_run_with_is_refused(tmp_path, options):
    with pytest.raises(UsageError):
        lay_out("app.py", REGIONS, tmp_path, options)


def test_a_port_that_is_no_port_is_refused(tmp_path):
    with pytest.raises(PortTaken, match="0-65535"):
        lay_out("app.py", REGIONS, tmp_path, {"port": 99_999})
