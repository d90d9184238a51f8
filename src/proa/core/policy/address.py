"""Whose address a request comes from, where proxies stand between.

`x-forwarded-for` is written by whoever likes to; only what trusted proxies appended may be believed. So it is read from
its end: the address that reached us, then one proxy's word after the other for as long as the one who says it is
trusted. The first that is not is the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from proa.errors import DeclarationError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
UNKNOWN = "unknown"
REMEMBERED = 4096


def networks(named: Sequence[str], where: str) -> tuple[Network, ...]:
    """Addresses and CIDR blocks, parsed.

    Raises:
        DeclarationError: one is neither.
    """
    try:
        return tuple(ip_network(name) for name in named)
    except ValueError as error:
        raise DeclarationError(f"{where}: {error}; write an address or a block such as 10.0.0.0/8") from None


def address_of(text: str) -> Address | None:
    """The address that `text` is; an IPv4 one that is written as IPv6 is the IPv4 one."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def within(text: str, blocks: Sequence[Network]) -> bool:
    """Whether an address lies in one of the blocks."""
    address = address_of(text)
    return address is not None and any(address in block for block in blocks)


@lru_cache(maxsize=REMEMBERED)
def client_of(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """The client's address: `peer`, or whom trusted proxies (of which `peer` is one) say that it speaks for."""
    client = peer
    said = [part.strip() for part in forwarded.split(",")] if forwarded else []
    while said and within(client, trusted):
        client = said.pop()
    return client or UNKNOWN


@lru_cache(maxsize=REMEMBERED)
def household(client: str) -> str:
    """What a limit for each client counts as one: an IPv4 address; of IPv6 the /64, of which anybody has one whole."""
    address = address_of(client)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address) if address else client
