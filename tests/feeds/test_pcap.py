"""Captures of MoldUDP64: every form of file and of packet, written here by hand, read as a feed."""

import asyncio
import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from bursa.feeds.pcap import MoldCapture, is_capture
from bursa.feeds.replay import ReplayFeed
from bursa.model.errors import Refuse, Reject
from bursa.model.venue import IDX, XNAS, Venue
from bursa.ports import Frames
from bursa.wire.idx.layout import IDX1
from bursa.wire.transport import pcap
from bursa.wire.transport.moldudp64 import name_of
from tests.feeds.mold_source import HEAD, packet
from tests.wire.idx import encoder as idx

T0 = 1_784_000_000_000_000_123
GROUP_A, GROUP_B = b"\xe9\x01\x01\x01", b"\xe9\x01\x01\x02"


def udp(payload: bytes, host: bytes, port: int) -> bytes:
    return struct.pack(">4H", 4000, port, 8 + len(payload), 0) + payload


def ip4(payload: bytes, host: bytes, port: int, *, options: int = 0, fragment: int = 0) -> bytes:
    body = udp(payload, host, port)
    head = 20 + 4 * options
    return (
        struct.pack(
            ">BBHHHBBH4s4s",
            *(0x40 | head // 4, 0, head + len(body), 1, fragment, 9, 17, 0, b"\x0a\0\0\1", host),
        )
        + b"\1" * 4 * options
        + body
    )


def ip6(payload: bytes, host: bytes, port: int, *, hops: bool = False) -> bytes:
    body = udp(payload, host, port)
    following = 17
    if hops:
        body, following = bytes([17, 0, *bytes(6)]) + body, 0
    return struct.pack(">IHBB16s16s", 6 << 28, len(body), following, 9, bytes(16), host) + body


def ethernet(inner: bytes, kind: int = 0x0800, tags: Sequence[int] = ()) -> bytes:
    vlans = b"".join(struct.pack(">HH", tag, 7) for tag in tags)
    return bytes(12) + vlans + struct.pack(">H", kind) + inner


def classic(
    packets: Sequence[tuple[int, bytes]], order: str = "<", nano: bool = True, link: int = 1
) -> bytes:
    magic, ns = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for ts, raw in packets:
        seconds, rest = divmod(ts, 10**9)
        out += struct.pack(order + "4I", seconds, rest // ns, len(raw), len(raw)) + raw
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def pcapng(
    packets: Sequence[tuple[int, bytes]],
    order: str = "<",
    resolution: int = 9,
    simple: bool = False,
) -> bytes:
    out = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    options = option(order, 9, bytes([resolution])) + option(order, 0, b"")
    out += block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + options)
    out += block(order, 5, bytes(20))  # statistics: passed over
    for ts, raw in packets:
        ticks = ts * 2**30 // 10**9 if resolution & 0x80 else ts // 10 ** (9 - resolution)
        if simple:
            out += block(order, 3, struct.pack(order + "I", len(raw)) + raw)
        else:
            head = struct.pack(order + "5I", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(raw), len(raw))
            out += block(order, 6, head + raw)
    return out


def datagrams(raw: bytes, piece: int = 0) -> list[pcap.Datagram]:
    capture = pcap.Capture()
    pieces = [raw[at : at + piece] for at in range(0, len(raw), piece)] if piece else [raw]
    found = [each for part in pieces for each in capture.push(part)]
    assert not capture.rest
    return found


PACKETS = [(T0 + n * 1000, ethernet(ip4(b"%d" % n * n, GROUP_A, 26400))) for n in range(5)]


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize(
    ("raw", "exact"),
    [
        (classic(PACKETS), 1),
        (classic(PACKETS, ">"), 1),
        (classic(PACKETS, nano=False), 1000),
        (classic(PACKETS, ">", nano=False), 1000),
        (pcapng(PACKETS), 1),
        (pcapng(PACKETS, ">"), 1),
        (pcapng(PACKETS, resolution=6), 1000),
        (pcapng(PACKETS, resolution=0x80 | 30), 2),
    ],
)
def test_every_form_of_file(raw: bytes, exact: int, piece: int) -> None:
    found = datagrams(raw, piece)
    assert [(each.host, each.port, each.payload) for each in found] == [
        (GROUP_A, 26400, b"%d" % n * n) for n in range(5)
    ]
    assert all(0 <= ts - each.ts < exact for (ts, _), each in zip(PACKETS, found, strict=True))


def test_a_block_without_a_time_and_two_sections() -> None:
    found = datagrams(pcapng(PACKETS, simple=True) + pcapng(PACKETS, ">"))
    assert [each.ts for each in found[:5]] == [-1] * 5 and found[5].ts == T0


HOST6 = bytes(range(16))


@pytest.mark.parametrize(
    ("link", "raw", "host"),
    [
        (1, ethernet(ip4(b"x", GROUP_A, 9, options=3)), GROUP_A),
        (1, ethernet(ip4(b"x", GROUP_A, 9), tags=[0x8100]), GROUP_A),
        (1, ethernet(ip4(b"x", GROUP_A, 9), tags=[0x88A8, 0x8100]), GROUP_A),
        (1, ethernet(ip4(b"x", GROUP_A, 9)) + bytes(9), GROUP_A),
        (1, ethernet(ip6(b"x", HOST6, 9), 0x86DD), HOST6),
        (1, ethernet(ip6(b"x", HOST6, 9, hops=True), 0x86DD), HOST6),
        (113, bytes(14) + b"\x08\0" + ip4(b"x", GROUP_A, 9), GROUP_A),
        (276, b"\x08\0" + bytes(18) + ip4(b"x", GROUP_A, 9), GROUP_A),
        (101, ip4(b"x", GROUP_A, 9), GROUP_A),
        (101, ip6(b"x", HOST6, 9), HOST6),
        (0, b"\2\0\0\0" + ip4(b"x", GROUP_A, 9), GROUP_A),
    ],
)
def test_every_link_and_net(link: int, raw: bytes, host: bytes) -> None:
    assert datagrams(classic([(T0, raw)], link=link)) == [(T0, host, 9, b"x")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (ethernet(b"", 0x0806), "not_ip"),
        (ethernet(ip4(b"x", GROUP_A, 9)[:9] + b"\6" + ip4(b"x", GROUP_A, 9)[10:]), "not_udp"),
        (ethernet(ip4(b"x", GROUP_A, 9, fragment=0x2000)), "fragment"),
        (ethernet(ip4(b"x", GROUP_A, 9, fragment=5)), "fragment"),
        (ethernet(ip4(b"xyz", GROUP_A, 9))[:-1], "cut"),
        (ethernet(ip4(b"", GROUP_A, 9))[:20], "malformed"),
        (ethernet(b"\x45"), "malformed"),
        (b"", "malformed"),
    ],
)
def test_what_is_no_datagram_is_counted_by_its_reason(raw: bytes, reason: str) -> None:
    capture = pcap.Capture()
    assert list(capture.push(classic([(T0, raw)]))) == [] and capture.passed == {reason: 1}


def test_a_link_that_is_not_known_is_counted() -> None:
    capture = pcap.Capture()
    assert not list(capture.push(classic(PACKETS, link=105))) and capture.passed == {"link": 5}


@pytest.mark.parametrize(
    "raw",
    [
        b"what is this?",
        classic([]) + struct.pack("<4I", 0, 0, 2**31, 0),
        pcapng([])[:-40] + block("<", 6, struct.pack("<5I", 3, 0, 0, 0, 0)),
        block("<", 0x0A0D0D0A, b"?" * 16),
        pcapng([]) + struct.pack("<3I", 6, 13, 0),
    ],
)
def test_where_no_record_can_begin(raw: bytes) -> None:
    with pytest.raises(Reject, match="bad_capture"):
        list(pcap.Capture().push(raw))


def test_any_bytes_are_read_or_refused() -> None:
    dice, whole = Random(3), [classic(PACKETS), pcapng(PACKETS)]
    for _ in range(3000):
        raw = bytearray(dice.choice(whole))
        for _ in range(dice.randrange(1, 6)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        try:
            list(pcap.Capture().push(bytes(raw)))
        except Reject as bad:
            assert bad.reason == "bad_capture"


# -- as a feed -------------------------------------------------------------------------------------


class Kept:
    def __init__(self) -> None:
        self.frames_: list[Frames] = []
        self.ended: list[int] = []

    def frames(self, frames: Frames) -> None:
        self.frames_.append(frames)

    def end_of_file(self, channel: int) -> None:
        self.ended.append(channel)

    async def room(self) -> None:
        return None

    def of(self, channel: int) -> list[tuple[str, int, int]]:
        return [
            (each.session, each.first_seq, each.count)
            for each in self.frames_
            if each.channel == channel
        ]


def replay(path: Path, venue: Venue = XNAS) -> tuple[Kept, list[str]]:
    kept, said = Kept(), list[str]()
    cutter = MoldCapture(venue, IDX1, IDX1.block_bytes_max, str(path), said.append)
    feed = ReplayFeed(path, venue, cutter=cutter, read_bytes=100)
    asyncio.run(feed.run(kept))  # type: ignore[arg-type]  # what a file needs of an intake
    return kept, said


def write(path: Path, sent: Sequence[tuple[int, bytes, int, bytes]], form: str = "pcap") -> Path:
    """sent: (ts, group, port, datagram)."""
    packets = [(ts, ethernet(ip4(raw, host, port))) for ts, host, port, raw in sent]
    raw = pcapng(packets) if form == "pcapng" else classic(packets)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize(("name", "form"), [("a.pcap", "pcap"), ("a.pcapng.gz", "pcapng")])
def test_two_lines_of_a_capture_are_one_stream(tmp_path: Path, name: str, form: str) -> None:
    dice = Random(4)
    sent = []
    for n in range(60):
        for host in (GROUP_A, GROUP_B):
            if dice.random() < 0.6 or host == (GROUP_A, GROUP_B)[n % 2]:
                ts = T0 + n * 1000 + dice.randrange(5000)
                sent.append((ts, host, 26400, packet("DAY1", 2 * n + 1, [b"a%d" % n, b"b"])))
    sent.sort()
    path = write(tmp_path / name, sent, form)
    assert is_capture(path)
    kept, said = replay(path)
    numbers = [n for _, first, count in kept.of(0) for n in range(first, first + count)]
    assert numbers == list(range(1, 121)) and kept.ended == [0] and not said
    arrived = {int.from_bytes(raw[10:18], "big"): ts for ts, _, _, raw in reversed(sent)}
    assert [each.ts_recv for each in kept.frames_] == [arrived[2 * n + 1] for n in range(60)]


def test_what_a_capture_has_not_is_a_gap_after_its_time(tmp_path: Path) -> None:
    sent = [
        (T0 + n * 10**9, GROUP_A, 26400, packet("DAY1", n + 1, [b"%d" % n]))
        for n in range(9)
        if n != 2
    ]
    sent.append((T0 + 9 * 10**9, GROUP_A, 26400, HEAD.pack(b"DAY1      ", 10, 0xFFFF)))
    sent.append((T0 + 20 * 10**9, GROUP_A, 26400, packet("DAY2", 1, [b"next day"])))
    kept, _ = replay(write(tmp_path / "a.pcap", sent))
    assert kept.of(0) == [*(("DAY1", n, 1) for n in range(1, 10) if n != 3), ("DAY2", 1, 1)]


def test_strays_in_a_capture_end_no_session_and_are_told(tmp_path: Path) -> None:
    """Another session beside the one of interest, of more than is kept; and a number far ahead."""
    sent = []
    for n in range(200):
        ts = T0 + n * 10**6
        sent.append((ts, GROUP_A, 26400, packet("DAY1", n + 1, [b"%d" % n])))
        sent.append((ts, GROUP_B, 26400, packet("OTHER", n + 1, [bytes(40)] * 1000)))
    sent.append((T0 + 10**9, GROUP_A, 26400, packet("DAY1", 2**40, [b"far"])))
    sent.append((T0 + 10**9, GROUP_A, 26400, packet("DAY1", 201, [b"201"])))
    kept, said = replay(write(tmp_path / "a.pcap", sent))
    assert kept.of(0)[:201] == [("DAY1", n, 1) for n in range(1, 202)]
    assert "that do not fit the session under way" in said[0]
    assert {session for session, _, _ in kept.of(0)[201:]} == {"OTHER"}, "kept until the end"


def test_channels_are_told_by_their_messages(tmp_path: Path) -> None:
    """Both on one group: the ports tell the lines, the types of messages the channels."""
    ts = T0
    trades = [idx.status(1, ts, "1"), idx.trade(2, ts + 1, "BBCA", trade_no=1, price=1, volume=1)]
    rest = [idx.status(1, ts, "1"), idx.contract(2, ts, "BBCA", name="BCA", close=1)]
    sent = [
        (T0 + n, GROUP_A, 5000 + side, packet(session, n + 1, [message]))
        for side, (session, messages) in enumerate((("R", rest), ("T", trades)))
        for n, message in enumerate(messages)
    ]
    kept, _ = replay(write(tmp_path / "a.pcap", sorted(sent)), IDX)
    ticks = next(at for at, channel in enumerate(IDX.channels) if channel.ticks)
    assert kept.of(ticks) == [("T", 1, 1), ("T", 2, 1)]
    assert kept.of(1 - ticks) == [("R", 1, 1), ("R", 2, 1)] and sorted(kept.ended) == [0, 1]


def test_other_traffic_is_passed_over_and_told(tmp_path: Path) -> None:
    sent = [
        (T0, GROUP_A, 53, b"\0\1 a question of somebody else"),
        (T0 + 1, GROUP_A, 26400, packet("DAY1", 1, [b"a"])),
    ]
    kept, said = replay(write(tmp_path / "a.pcap", sent))
    assert kept.of(0) == [("DAY1", 1, 1)] and "1 no MoldUDP64" in said[0]


def test_a_capture_without_any_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", [(T0, GROUP_A, 53, b"dns"), (T0, GROUP_A, 53, b"dns")])
    with pytest.raises(Refuse, match=r"none of 2 packets is MoldUDP64; UDP ports in it: 53 \(2\)"):
        replay(path)


def test_a_capture_that_is_cut_short_is_delivered_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", [(T0, GROUP_A, 1, packet("DAY1", 1, [b"a"]))] * 2)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Refuse, match="are no whole record"):
        replay(path)


def test_what_is_no_capture(tmp_path: Path) -> None:
    for name, raw in (("a", b""), ("b", b"\x1f\x8bno"), ("c", b"{}"), ("d", gzip.compress(b"{}"))):
        (tmp_path / name).write_bytes(raw)
        assert not is_capture(tmp_path / name)
    assert not is_capture(tmp_path / "absent")


def test_a_session_is_named_as_text() -> None:
    assert name_of(b"  DAY1\0\0\0 ") == "DAY1" and name_of(b"a\nb       ") == "a?b"
