"""What is fuzzed: each decoder and parser with good inputs, and what must hold of any bytes.

A target's `check(data)` feeds bytes that anybody could have sent, and fails where more is raised
than the project's own errors, a byte is unaccounted for, or what is sound is not taken afterwards.
`mutated` spoils good inputs. As a program it hammers one target: for the long runs, and under the
kernels' bounds checks (NUMBA_BOUNDSCHECK=1, in a cache of its own).
"""

import argparse
import calendar
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from bursa import config
from bursa.feeds import cut
from bursa.journal.index import summaries
from bursa.journal.read import JournalReader
from bursa.journal.record import setting
from bursa.journal.segment import bases
from bursa.journal.write import JournalWriter
from bursa.model.batch import BLOCKS, LINES, SOUPBIN, Chunk
from bursa.model.errors import BursaError, Refuse, Reject
from bursa.model.venue import BINANCE, IDX, VENUES
from bursa.ops import logs
from bursa.pipeline.switches import Switches, settings_of
from bursa.ports import Frames
from bursa.store import folder
from bursa.wire import explain
from bursa.wire.binance.decoder import BinanceDecoder
from bursa.wire.decoded import PAYLOAD_BYTES_MAX, Decoded
from bursa.wire.idx import layout_table
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.layout import IDX1
from bursa.wire.idx.lines import LineWriter
from bursa.wire.itch50.decoder import ItchDecoder
from bursa.wire.transport import bodies, moldudp64, soupbin
from bursa.wire.transport.pcap import Capture, Datagram
from tests.wire.idx import encoder as idx_encoder
from tests.wire.itch50 import encoder as itch_encoder

TS = idx_encoder.TS
FIRST_DAY = date(2026, 3, 2)
# A decoder is made anew after so many inputs: garbage that is well formed moves its clocks.
LIVES = 200
IDX_MESSAGES = [
    idx_encoder.contract(1, TS),
    idx_encoder.status(2, TS + 1, "P"),
    idx_encoder.trade(3, TS + 2),
    idx_encoder.snapshot(4, TS + 3),
    idx_encoder.book(5, TS + 4, "bid", [(90_000_000, 5, 1), (89_000_000, 7, 2)]),
    idx_encoder.book(6, TS + 5, "ask"),
    idx_encoder.index(7, TS + 6),
    idx_encoder.status(8, TS + 7, "H"),
]
IDX_LINES = [
    b"1|3|%d|BBCA|RG|58211|8900|100|B" % (TS + 2),
    b"9|8|%d|H|9" % (TS + 7),
    b"3|5|%d|BBCA|RG|2|9000:5:1,8900:7:2" % (TS + 4),
    b"6|1|%d|BBCA|RG|a \\p \\\\ name|ID1000|100|IDR|8900" % TS,
]
BINANCE_LINES = [
    b'{"e":"trade","E":1763692200000,"s":"BTCUSDT","t":1,"p":"9.5","q":"1","T":1763692200000,"m":true}',
    b'{"u":7,"s":"BTCUSDT","b":"9.4","B":"1","a":"9.6","A":"2"}',
    b'{"e":"depthUpdate","E":1763692200000,"s":"BTCUSDT","U":1,"u":2,"b":[["9.4","1"]],"a":[]}',
    b'{"lastUpdateId":1,"bids":[["9.4","1"]],"asks":[["9.6","2"]]}',
    b'{"result":null,"id":1}',
]


@dataclass(frozen=True)
class Target:
    """One decoder or parser: good inputs, and the property as a function of any input."""

    seeds: Sequence[bytes]
    check: Callable[[bytes], None]


def accounted(decoded: Decoded, payload: bytes, form: int, limit: int) -> None:
    """Every byte of a record is a message's, its framing's, or quarantined as the rest."""
    head = 3 if form == SOUPBIN else 2
    at = units = 0
    while at + 2 <= len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        if size == 0 or size > limit or at + 2 + size > len(payload):
            break
        units += form == BLOCKS or payload[at + 2 : at + head] == b"S"
        at += 2 + size
    rest = len(payload) - at
    lost = [r for r in decoded.rejects if r.reason in ("framing_lost", "truncated")]
    assert len(lost) == (rest > 0), (rest, lost)
    if rest:
        assert len(lost[0].payload) == min(rest, PAYLOAD_BYTES_MAX)
        assert payload[at:].startswith(lost[0].payload)
    counts = decoded.counts
    assert counts.get("messages", 0) == units, (dict(counts), units)
    refused = sum(n for word, n in counts.items() if word.startswith("rejected_"))
    assert refused == len(decoded.rejects)
    rows = sum(len(batch) for name, batch in decoded.batches.items() if name != "status")
    assert rows <= units


class Idx:
    """The idx decoder, garbage on its channel of trades, sound messages on the other."""

    def __init__(self, form: int) -> None:
        self.form, self._lives = form, 0

    def __call__(self, data: bytes) -> None:
        if self._lives % LIVES == 0:
            self._decoder, self._seq = IdxDecoder(IDX, idx_encoder.words()), 0
        self._lives += 1
        self._seq += 1
        decoded = self._push(idx_encoder.Record(data, 0, self.form))
        if self.form != LINES:
            limit = IDX1.block_bytes_max + (self.form == SOUPBIN)
            accounted(decoded, data, self.form, limit)
        else:
            refused = [r.payload for r in decoded.rejects]
            assert all(line in data for line in refused)
        good = idx_encoder.snapshot(self._seq, TS + self._seq)
        sound = self._push(idx_encoder.blocks_of([good], 1))
        assert not sound.rejects and len(sound.batches["snapshot"]) == 1

    def _push(self, record: idx_encoder.Record) -> Decoded:
        return self._decoder.push(idx_encoder.one_chunk(record))


class Itch:
    """The ITCH decoder; what is sound comes in a new session."""

    def __init__(self, form: int) -> None:
        self.form, self._lives = form, 0

    def __call__(self, data: bytes) -> None:
        if self._lives % LIVES == 0:
            self._decoder = ItchDecoder(VENUES["xnas"], VENUES["xnas"].words())
        self._lives += 1
        day = FIRST_DAY + timedelta(days=4 * ((self._lives - 1) % LIVES))
        garbage = itch_encoder.Record(data, 0, f"G{self._lives}", self.form, ts_recv=noon(day))
        decoded = self._push(garbage)
        refused = sum(n for word, n in decoded.counts.items() if word.startswith("rejected_"))
        assert refused == len(decoded.rejects)
        assert all(reject.payload in data for reject in decoded.rejects)
        messages = [itch_encoder.directory(1, "AAPL"), itch_encoder.add(1, 1, "B", 100, "AAPL", 5)]
        day += timedelta(days=2)  # garbage may be a day ahead of the time it came
        good = itch_encoder.record(messages, 1, f"{day:%Y%m%d}")
        sound = self._push(replace(good, ts_recv=noon(day)))
        assert not sound.rejects, sound.rejects

    def _push(self, record: itch_encoder.Record) -> Decoded:
        chunk: Chunk = itch_encoder.chunk([record], itch_encoder.positions([record]))
        return self._decoder.push(chunk)


def noon(day: date) -> int:
    """Noon of New York, about, in ns."""
    return calendar.timegm(day.timetuple()) * 10**9 + 17 * 3600 * 10**9


class Binance:
    """The JSON decoder: every line is a message, taken or refused."""

    def __init__(self) -> None:
        self._lives = 0

    def __call__(self, data: bytes) -> None:
        if self._lives % LIVES == 0:
            self._decoder = BinanceDecoder(BINANCE, BINANCE.words())
        self._lives += 1
        record = idx_encoder.Record(data, 0, LINES)
        decoded = self._decoder.push(idx_encoder.one_chunk(record))
        lines = [line for line in data.split(b"\n") if line not in (b"", b"\r")]
        assert decoded.counts.get("messages", 0) == len(lines)
        assert all(reject.payload in lines for reject in decoded.rejects)
        number = 10**12 + self._lives
        good = BINANCE_LINES[0].replace(b'"t":1', b'"t":%d' % number).replace(b"BTC", b"GOOD")
        sound = self._decoder.push(idx_encoder.one_chunk(idx_encoder.Record(good, 0, LINES)))
        assert not sound.rejects and len(sound.batches["ticks"]) == 1


def soup_packets(data: bytes) -> None:
    """Both halves of SoupBinTCP, whole and byte by byte."""
    for cuts in ([data], [data[at : at + 7] for at in range(0, len(data), 7)]):
        for half in (soupbin.Packets(), soupbin.Server()):
            feed = half.feed if isinstance(half, soupbin.Packets) else half.hear
            with suppress(Reject):
                for part in cuts:
                    for _ in feed(part):
                        pass
    buffer = np.frombuffer(bytearray(data), np.uint8)
    client, at = soupbin.Client(soupbin.Login("u", "p", "", 1), 1024), 0
    for _ in range(len(data) + 1):
        step = client.hear(buffer, at, len(data))
        assert at <= step.start <= step.end <= len(data)
        if step.heard in (soupbin.Heard.MORE, soupbin.Heard.LOST):
            return
        assert step.end > at, "a step that goes nowhere is heard for ever"
        at = step.end
    raise AssertionError("more steps than bytes")


def mold_packet(data: bytes) -> None:
    """A MoldUDP64 packet is taken whole or refused whole."""
    octets = np.frombuffer(bytearray(data), np.uint8)
    with suppress(Reject):
        packet = moldudp64.parse(octets, 0, len(data), 1024)
        inside, at, count = data[moldudp64.HEADER_BYTES :], 0, 0
        while at < len(inside):
            at += 2 + int.from_bytes(inside[at : at + 2], "big")
            count += 1
        assert at == len(inside)
        assert count == (0 if packet.messages == moldudp64.END else packet.messages)
    with suppress(Reject):
        moldudp64.parse_request(data)


def capture_file(data: bytes) -> None:
    """A capture, whole and in pieces: the same datagrams, and every packet is told of."""
    told = []
    for size in (len(data) + 1, 11):
        capture, found, broken = Capture(), list[Datagram](), 0
        try:
            for at in range(0, len(data), size):
                for datagram in capture.push(data[at : at + size]):
                    found.append(datagram)  # those before an error count too
        except Reject as reject:
            assert reject.reason == "bad_capture"
            broken = 1  # at the latest packet, perhaps
        told.append((found, capture.packets, dict(capture.passed)))
        assert 0 <= capture.packets - len(found) - capture.passed.total() <= broken
    assert told[0] == told[1]


def body_walk(data: bytes) -> None:
    """A broker's body: what is whole lies inside, and is walked to the same end in pieces."""
    body = np.frombuffer(data, np.uint8)
    end, count = bodies.walk(body, 0, 1 << 30, 1024)
    at = pieces = 0
    while True:
        after, some = bodies.walk(body, at, 64, 1024)
        if not some:
            break
        assert at < after <= len(data)
        at, pieces = after, pieces + some
    assert (at, pieces) == (end, count)


def recording_file(data: bytes) -> None:
    """A recording of any kind: all its bytes come out in frames, or it is refused."""
    if not data:
        return
    for venue in (IDX, BINANCE, VENUES["xnas"]):
        out = 0
        try:
            cutter = cut.of(data, venue, IDX1, "fuzz")
            for at in range(0, len(data), 17):
                out += sum(len(f.payload) for f in cutter.push(data[at : at + 17]))
            out += sum(len(f.payload) for f in cutter.rest())
        except (Refuse, Reject):
            continue
        assert out <= len(data) + 1


def layout_file(data: bytes) -> None:
    """A layout table is one, or is refused with its place."""
    with suppress(Refuse):
        layout_table.parse(data.decode("utf-8", "replace"), "fuzz.toml").compiled(IDX.boards)


class ConfigFile:
    """A configuration file is one, or is refused."""

    def __init__(self, place: Path) -> None:
        self._file = place / "bursa.toml"

    def __call__(self, data: bytes) -> None:
        self._file.write_bytes(data)
        with suppress(Refuse):
            config.load({}, {}, str(self._file))


class Journal:
    """A segment with any bytes: its records and its damage, and nothing else of the file."""

    def __init__(self, place: Path) -> None:
        self.journal = place / "idx"
        now = iter(range(10**18, 2 * 10**18))
        writer = JournalWriter(self.journal, "idx", now_ns=lambda: next(now))
        for at in range(6):
            payload = idx_encoder.blocks(IDX_MESSAGES[: at + 1])
            writer.append([Frames(0, BLOCKS, "S", 1, at + 1, 0, payload), setting({"a": at})])
        writer.close()
        self.file = next(iter(bases(self.journal).values()))
        self.good = self.file.read_bytes()

    def __call__(self, data: bytes) -> None:
        self.file.write_bytes(data)
        reader, read = JournalReader(self.journal), 0
        with suppress(BursaError):
            for record in reader.records():
                assert 0 <= record.start < record.position <= len(data)
                read += record.position - record.start
            damaged = sum(damage.bytes for damage in reader.damaged)
            assert read + damaged <= len(data)
        with suppress(BursaError):
            list(summaries(self.journal))


def setting_record(data: bytes) -> None:
    """A SETTING with any payload turns a switch, or nothing."""
    record = idx_encoder.Record(data, 0, BLOCKS, 6)
    Switches({}).see(settings_of(idx_encoder.one_chunk(record)))


def explanation(data: bytes) -> None:
    """What is shown of a refused message."""
    for venue in ("idx", "xnas", "binance"):
        explain.fields(venue, BLOCKS, data)
        explain.fields(venue, LINES, data)
    list(explain.dump(data))
    LineWriter(IDX1, IDX.boards).line(data)


class Control:
    """The control socket: any bytes are answered or the line is closed, and the next is served."""

    def __init__(self, held: folder.DataFolder) -> None:
        held.serve({"echo": lambda payload: {"said": payload}})
        self._path, self._asked = held.path, 0

    def __call__(self, data: bytes) -> None:
        by = folder.holder(self._path)
        assert by is not None
        with socket.socket(socket.AF_UNIX) as line, suppress(ConnectionError):
            line.settimeout(60)
            line.connect(by.socket)
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            while line.recv(1 << 16):
                pass
        self._asked += 1
        if self._asked % 20 == 0:
            assert folder.ask(self._path, "echo", {"n": 1}, 10) == {"said": {"n": 1}}


def request(verb: str, payload: object) -> bytes:
    body = json.dumps({"verb": verb, "payload": payload}).encode()
    return struct.pack(">Q", len(body)) + body


def ethernet(payload: bytes) -> bytes:
    """A UDP datagram over IPv4 in an Ethernet frame."""
    udp = struct.pack(">HHHH", 5000, 26400, 8 + len(payload), 0) + payload
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x0a\0\0\1", b"\xe0\0\0\1"
    )
    return bytes(12) + b"\x08\x00" + head + udp


def capture_seeds() -> list[bytes]:
    mold = moldudp64.downstream(b"S1        ", 1, [b"abc", b"de"])
    frame = ethernet(mold)
    classic = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    classic += struct.pack("<IIII", 1, 2, len(frame), len(frame)) + frame
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHII", 1, 20, 1, 0, 65535, 20)
    padded = frame + bytes(-len(frame) % 4)
    size = 32 + len(padded)
    packet = struct.pack("<IIIIIII", 6, size, 0, 0, 7, len(frame), len(frame)) + padded
    return [classic, section + interface + packet + struct.pack("<I", size)]


def soup_stream() -> bytes:
    """What a server says in a session."""
    parts = [soupbin.login_accepted("S1", 1), idx_encoder.soup(IDX_MESSAGES), soupbin.heartbeat()]
    return b"".join([*parts, soupbin.debug("x"), soupbin.end_of_session()])


@contextmanager
def targets() -> Iterator[dict[str, Target]]:
    """All of them, with state and files of their own."""
    logs.setup("error", "json")  # a line that is closed is told of, thousands of times
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        yield _targets(place, stack.enter_context(folder.DataFolder(place / "data")))


def _targets(place: Path, held: folder.DataFolder) -> dict[str, Target]:
    blocks, soup = idx_encoder.blocks(IDX_MESSAGES), idx_encoder.soup(IDX_MESSAGES)
    every = itch_encoder.every_type()
    lines, pairs = b"\n".join(IDX_LINES) + b"\n", b"\n".join(BINANCE_LINES) + b"\n"
    login = soupbin.login(soupbin.Login("user", "pass", "", 1))
    molds = [
        moldudp64.downstream(b"S1        ", 7, IDX_MESSAGES[:3]),
        moldudp64.heartbeat(b"S1        ", 9),
        moldudp64.end_of_session(b"S1        ", 9),
        moldudp64.request(b"S1        ", 1, 5),
    ]
    tables = Path(layout_table.__file__).parent / "layouts"
    layouts = [path.read_bytes() for path in sorted(tables.glob("*.toml"))]
    toml = b'data = "x"\n[http]\nport = 80\n[feeds.main]\nvenue = "idx"\nidxdata = "h:1"\n'
    toml += b'itchdata = "h:2"\n'
    journal = Journal(place)
    kinds = {"kinds": {"orderbook.store": {"value": "off", "configured": "1s", "by": "set"}}}
    turned = msgspec.json.encode(kinds)
    asked = [request("echo", {"a": 1}), request("sql", {"query": "select 1"})]
    return {
        "idx blocks": Target([blocks], Idx(BLOCKS)),
        "idx soup": Target([soup], Idx(SOUPBIN)),
        "idx text": Target([lines], Idx(LINES)),
        "itch50 blocks": Target([itch_encoder.blocks(every)], Itch(BLOCKS)),
        "itch50 soup": Target([itch_encoder.packets(every)], Itch(SOUPBIN)),
        "binance": Target([pairs], Binance()),
        "soupbin": Target([login, soup_stream()], soup_packets),
        "moldudp64": Target(molds, mold_packet),
        "pcap": Target(capture_seeds(), capture_file),
        "bodies": Target([blocks], body_walk),
        "recordings": Target([blocks, lines, pairs], recording_file),
        "layouts": Target(layouts, layout_file),
        "config": Target([toml], ConfigFile(place)),
        "journal": Target([journal.good], journal),
        "settings": Target([turned], setting_record),
        "explain": Target([*IDX_MESSAGES, *every, *BINANCE_LINES], explanation),
        "control": Target(asked, Control(held)),
    }


# -- spoiling --------------------------------------------------------------------------------------

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF)
SIZES = (0, 1, 2, 3, 0x3FF, 0x400, 0x401, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)


def mutated(seeds: Sequence[bytes], rng: Random) -> bytes:
    """A good input, spoiled once or a few times."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        data = _spoiled(data, seeds, rng)
    return bytes(data)


def _spoiled(data: bytearray, seeds: Sequence[bytes], rng: Random) -> bytearray:
    if not data:
        return bytearray(rng.randbytes(rng.randrange(40)))
    at, how = rng.randrange(len(data)), rng.randrange(9)
    if how == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        data[at] = rng.choice(EDGES)
    elif how == 2:
        del data[at:]
    elif how == 3:
        del data[at : at + rng.choice((1, 2, 4, 8, 60))]
    elif how == 4:
        data[at : at + 2] = rng.choice(SIZES).to_bytes(2, "big")
    elif how == 5:
        data[at : at + 8] = rng.choice((0, 2**63, 2**63 - 1, 2**64 - 1)).to_bytes(8, "big")
    elif how == 6:
        data[at:at] = rng.randbytes(rng.choice((1, 2, 9, 70)))
    elif how == 7:
        other = rng.choice(seeds)
        data[at:at] = other[rng.randrange(len(other)) :][:200]
    else:
        data[at : at + 40] = data[at : at + 40] * 2
    return data


def hammered(target: Target, rng: Random, until: Callable[[int, int], bool]) -> tuple[int, int]:
    """Spoiled inputs until `until(executions, bytes)` says so; how many there were of both."""
    executions = fed = 0
    while not until(executions, fed):
        data = mutated(target.seeds, rng)
        try:
            target.check(data)
        except Exception as fault:
            raise AssertionError(f"{fault!r} by {data!r} after {executions}") from fault
        executions += 1
        fed += len(data)
    return executions, fed


def main() -> None:
    """Hammer one target, or all, for so many seconds each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with targets() as found:
        for name in given.names or found:
            target = found[name]
            target.check(target.seeds[0])  # compiled before the clock runs
            end = time.monotonic() + given.seconds

            def over(executions: int, fed: int, end: float = end) -> bool:
                return time.monotonic() > end

            executions, fed = hammered(target, Random(given.seed), over)
            print(f"{name}: {executions:,} executions, {fed:,} bytes", flush=True)


if __name__ == "__main__":
    main()
