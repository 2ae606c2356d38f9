"""Captures of a network without files: bytes of a pcap or pcapng in, UDP datagrams out.

    pcap    classic, times in micro- or nanoseconds, either byte order
    pcapng  several sections and interfaces: EPB and SPB, `if_tsresol` and `if_tsoffset`
    links   Ethernet with any 802.1Q/QinQ tags, Linux cooked SLL and SLL2, raw IP, loopback (null)
    net     IPv4 with options, IPv6 with extension headers; UDP

What is no UDP datagram, or not all of one, is counted by its reason in `passed`: `not_ip`,
`not_udp`, `fragment`, `cut` (captured in part), `link` (a link type that is none of these),
`malformed`. Read incrementally in bounded memory: one record of at most RECORD_BYTES_MAX waits.
Where no record can begin: Reject `bad_capture`. Sources: the IETF drafts on pcap and pcapng,
LINKTYPE numbers of tcpdump.org, RFC 791, 8200 and 768.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from bursa.model.errors import Reject

RECORD_BYTES_MAX = 1 << 20
_SECOND_NS = 1_000_000_000

# By the first four bytes: byte order, ns a tick.
_CLASSIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE, _SIMPLE, _ENHANCED = 1, 3, 6
_TSRESOL, _TSOFFSET = 9, 14

_NULL, _ETHERNET, _SLL, _SLL2 = 0, 1, 113, 276
_RAW = (12, 14, 101, 228, 229)
_IP4, _IP6, _UDP = 0x0800, 0x86DD, 17
_TAGS = (0x8100, 0x88A8, 0x9100)
_EXTENSIONS = (0, 43, 60)
_FRAGMENT = 44


class Datagram(NamedTuple):
    """A UDP datagram: when it was captured (ns UTC), where it went, what it carried."""

    ts: int
    host: bytes
    port: int
    payload: bytes


def is_capture(head: bytes) -> bool:
    """Whether a file with these first four bytes is one."""
    return head[:4] in _CLASSIC or head[:4] == _SECTION


class _Interface(NamedTuple):
    link: int
    snap: int
    ticks: int  # of its clock a second
    offset_s: int


class Capture:
    """passed   packets without a datagram, by reason; packets: all of them"""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.packets = 0
        self._tail = b""
        self._order = ""
        self._classic = self._begun = self._file_header = False
        self._interfaces: list[_Interface] = []

    def push(self, data: bytes) -> Iterator[Datagram]:
        """The datagrams of all records that are complete by now. Raises Reject `bad_capture`."""
        buffer = self._tail + data
        at = 0
        try:
            while True:
                size = self._size(buffer, at)
                if size < 0 or at + size > len(buffer):
                    break
                found = self._record(buffer[at : at + size])
                at += size
                if found is not None:
                    yield found
        finally:
            self._tail = buffer[at:]

    @property
    def rest(self) -> int:
        """Bytes of a record that is not complete."""
        return len(self._tail)

    # -- records -----------------------------------------------------------------------------------

    def _size(self, buffer: bytes, at: int) -> int:
        """Of the next record, headers included; -1: more bytes are needed to tell."""
        if len(buffer) - at < 12:
            return -1
        if not self._begun:
            self._begin(buffer[at : at + 4])
        return self._classic_size(buffer, at) if self._classic else self._block_size(buffer, at)

    def _begin(self, head: bytes) -> None:
        if not is_capture(head):
            raise Reject("bad_capture", "it is neither pcap nor pcapng")
        self._begun, self._classic = True, head in _CLASSIC
        if self._classic:
            self._order, self._file_header = _CLASSIC[head][0], True

    def _classic_size(self, buffer: bytes, at: int) -> int:
        if self._file_header:
            return 24
        if len(buffer) - at < 16:
            return -1
        return 16 + self._checked(struct.unpack_from(self._order + "I", buffer, at + 8)[0])

    def _block_size(self, buffer: bytes, at: int) -> int:
        if buffer[at : at + 4] == _SECTION:
            order = _ORDERS.get(buffer[at + 8 : at + 12])
            if order is None:
                raise Reject("bad_capture", "a section without a byte order")
            self._order = order
        size = int(struct.unpack_from(self._order + "I", buffer, at + 4)[0])
        if size < 12 or size % 4:
            raise Reject("bad_capture", f"a block of {size} bytes")
        return self._checked(size)

    def _checked(self, size: int) -> int:
        if size > RECORD_BYTES_MAX:
            raise Reject("bad_capture", f"a record of {size} bytes")
        return int(size)

    def _record(self, raw: bytes) -> Datagram | None:
        if self._classic:
            return self._classic_record(raw)
        kind = int(struct.unpack_from(self._order + "I", raw)[0])
        body = raw[8:-4]
        if raw[:4] == _SECTION:
            self._interfaces = []
        elif kind == _INTERFACE:
            self._interface(body)
        elif kind == _ENHANCED and len(body) >= 20:
            number, high, low, kept, size = struct.unpack_from(self._order + "5I", body)
            return self._at(number, (high << 32) | low, body[20 : 20 + kept], kept < size)
        elif kind == _SIMPLE and len(body) >= 4:
            (size,) = struct.unpack_from(self._order + "I", body)
            snap = self._interfaces[0].snap if self._interfaces else 0
            kept = min(size, snap or size)
            return self._at(0, -1, body[4 : 4 + kept], kept < size)
        return None

    def _classic_record(self, raw: bytes) -> Datagram | None:
        if self._file_header:
            self._file_header = False
            ns = _CLASSIC[raw[:4]][1]
            link = int(struct.unpack_from(self._order + "I", raw, 20)[0]) & 0xFFFF
            self._interfaces = [_Interface(link, 0, _SECOND_NS // ns, 0)]
            return None
        seconds, parts, kept, size = struct.unpack_from(self._order + "4I", raw)
        ticks = self._interfaces[0].ticks
        return self._at(0, seconds * ticks + parts, raw[16 : 16 + kept], kept < size)

    def _interface(self, body: bytes) -> None:
        if len(body) < 8:
            raise Reject("bad_capture", "an interface of no length")
        link, _, snap = struct.unpack_from(self._order + "HHI", body)
        ticks, offset_s, at = 1_000_000, 0, 8
        while at + 4 <= len(body):
            code, size = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + size]
            if code == 0:
                break
            if code == _TSRESOL and size == 1:
                power = value[0] & 0x7F
                ticks = 2**power if value[0] & 0x80 else 10 ** min(power, 18)
            elif code == _TSOFFSET and size == 8:
                (offset_s,) = struct.unpack(self._order + "q", value)
            at += 4 + (size + 3) // 4 * 4
        self._interfaces.append(_Interface(link, snap, ticks, offset_s))

    # -- packets -----------------------------------------------------------------------------------

    def _at(self, number: int, ticks: int, packet: bytes, cut: bool) -> Datagram | None:
        """A packet of an interface; ticks -1: it has no time (an SPB)."""
        self.packets += 1
        if number >= len(self._interfaces):
            raise Reject("bad_capture", f"a packet of interface {number}, which was not told")
        of = self._interfaces[number]
        ts = -1
        if ticks >= 0:
            ts = ticks * _SECOND_NS // of.ticks + of.offset_s * _SECOND_NS
        try:
            host, port, payload = _datagram(of.link, packet)
        except _PassedOver as why:
            # Of a packet that is known to be cut everything else about it may be, too.
            self.passed["cut" if cut and why.args[0] == "malformed" else why.args[0]] += 1
            return None
        return Datagram(ts if ts < 2**63 else -1, host, port, payload)


class _PassedOver(Exception):
    """There is no datagram in a packet; why."""


def _datagram(link: int, packet: bytes) -> tuple[bytes, int, bytes]:
    """(destination, port, payload) of a link's packet."""
    try:
        ether, at = _network(link, packet)
        if ether == _IP4:
            return _ip4(packet, at)
        if ether == _IP6:
            return _ip6(packet, at)
    except (struct.error, IndexError):
        raise _PassedOver("malformed") from None
    raise _PassedOver("not_ip")


def _network(link: int, packet: bytes) -> tuple[int, int]:
    """(EtherType, where the network's packet begins)."""
    if link == _ETHERNET:
        (ether,) = struct.unpack_from(">H", packet, 12)
        at = 14
        while ether in _TAGS:
            (ether,) = struct.unpack_from(">H", packet, at + 2)
            at += 4
        return ether, at
    if link == _SLL:
        return struct.unpack_from(">H", packet, 14)[0], 16
    if link == _SLL2:
        return struct.unpack_from(">H", packet)[0], 20
    if link in _RAW or link == _NULL:
        at = 4 if link == _NULL else 0
        return {4: _IP4, 6: _IP6}.get(packet[at] >> 4, 0), at
    raise _PassedOver("link")


def _ip4(packet: bytes, at: int) -> tuple[bytes, int, bytes]:
    head = (packet[at] & 15) * 4
    (total,) = struct.unpack_from(">H", packet, at + 2)
    (fragment,) = struct.unpack_from(">H", packet, at + 6)
    if packet[at] >> 4 != 4 or head < 20 or total < head:
        raise _PassedOver("malformed")
    if packet[at + 9] != _UDP:
        raise _PassedOver("not_udp")
    if fragment & 0x3FFF:
        raise _PassedOver("fragment")
    return packet[at + 16 : at + 20], *_udp(packet[at + head : at + total], total - head)


def _ip6(packet: bytes, at: int) -> tuple[bytes, int, bytes]:
    (size,) = struct.unpack_from(">H", packet, at + 4)
    following, body, end = packet[at + 6], at + 40, at + 40 + size
    while following in _EXTENSIONS:
        following, body = packet[body], body + 8 + packet[body + 1] * 8
    if following == _FRAGMENT:
        raise _PassedOver("fragment")
    if following != _UDP:
        raise _PassedOver("not_udp")
    return packet[at + 24 : at + 40], *_udp(packet[body:end], end - body)


def _udp(raw: bytes, size: int) -> tuple[int, bytes]:
    if len(raw) < size:
        raise _PassedOver("cut")
    _, port, length = struct.unpack_from(">3H", raw)
    if not 8 <= length <= size:
        raise _PassedOver("malformed")
    return port, raw[8:length]
