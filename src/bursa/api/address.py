"""Where a request comes from, through the proxies that are trusted and no others.

A proxy adds the address it was asked from at the end of X-Forwarded-For; whatever stands before was
said by whom it names, and may be made up. So the list is read from its end, and the first address
that is no trusted proxy's is the client's. A proxy that is not trusted is the client itself.
"""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from bursa.api.front import Network

# Addresses that one header may have; those of longer ones are not looked at.
_HOPS_MAX = 32


class Client(NamedTuple):
    """Who asks. `local`: this machine itself, through nobody that says so (guard.py asks more);
    `https`: as he reached the first of the proxies."""

    address: str
    local: bool
    https: bool = False


def client_of(
    peer: str, forwarded_for: bytes, forwarded_proto: bytes, proxies: Sequence[Network]
) -> Client:
    """Who asks, by the other end of the connection and what it says of itself."""
    address = _parsed(peer)
    if address is None:
        return Client(peer, False)
    if not _trusted(address, proxies):
        # Who says that he asks for another is not this machine, whatever his address.
        return Client(peer, address.is_loopback and not forwarded_for)
    https = forwarded_proto.rpartition(b",")[2].strip().lower() == b"https"
    hops = forwarded_for.decode("latin-1").split(",")[-_HOPS_MAX:] if forwarded_for else []
    found = peer
    for hop in reversed(hops):
        before = _parsed(_bare(hop.strip()))
        if before is None:
            break
        found = str(before)
        if not _trusted(before, proxies):
            break
    return Client(found, not hops and address.is_loopback, https)


def is_own(origin: bytes, host: bytes) -> bool:
    """Is a request's origin the host it is sent to?"""
    return origin.lower() in (b"http://" + host.lower(), b"https://" + host.lower())


def _bare(hop: str) -> str:
    """Some proxies add the port: `[::1]:80`, `10.0.0.1:80`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _trusted(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, proxies: Sequence[Network]
) -> bool:
    return any(address in network for network in proxies)
