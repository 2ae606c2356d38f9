"""UDP sockets: bound to an address, or members of a multicast group. What flows is udp.py's."""

import ipaddress
import socket
import struct

Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""As getaddrinfo gives it."""


def plain(family: int) -> socket.socket:
    """A socket that asks and hears answers, on any port."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(("", 0))
    return made


def listener(family: int, address: Address, interface: str) -> socket.socket:
    """A socket of one line: bound to its address, a member of its group where that is one. OSError
    where the system does not have it."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        group = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if group.is_multicast:
            # Others on this machine may listen to the group as well.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        if group.is_multicast:
            _join(made, group, interface)
    except OSError:
        made.close()
        raise
    return made


def _join(
    made: socket.socket, group: ipaddress.IPv4Address | ipaddress.IPv6Address, interface: str
) -> None:
    local, index = b"\0" * 4, 0
    if interface:
        try:
            local = ipaddress.IPv4Address(interface).packed
        except ValueError:
            index = socket.if_nametoindex(interface)
    if group.version == 6:
        wanted = group.packed + struct.pack("@I", index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, wanted)
    else:  # struct ip_mreqn: group, local address, index of the interface
        wanted = group.packed + local + struct.pack("@i", index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
