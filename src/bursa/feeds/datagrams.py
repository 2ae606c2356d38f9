"""UDP sockets: bound to an address, or members of a multicast group. What flows is udp.py's."""

import contextlib
import ipaddress
import socket
import struct

Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""As getaddrinfo gives it."""

# Linux's, which the socket module does not name: asm-generic/socket.h, and sock_diag.h for the
# words of a socket's memory.
_SO_RCVBUFFORCE, _SO_MEMINFO = 33, 55
_MEMINFO = struct.Struct("@9I")
_DROPS = 8


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


def widen(made: socket.socket, wanted: int) -> int:
    """Give the socket a receive buffer of so many bytes; how many the kernel gave. Past its limit
    (net.core.rmem_max) that takes the right to administer the network."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted)
    # Linux tells twice what it gives, for its own bookkeeping.
    return made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def dropped(made: socket.socket) -> int:
    """Datagrams that the kernel dropped since the socket was made, for want of room or a wrong
    checksum; 0 where it does not tell."""
    try:
        words = made.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(words)[_DROPS]) if len(words) == _MEMINFO.size else 0


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
