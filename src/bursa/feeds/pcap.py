"""A capture of a MoldUDP64 line as a recording: datagrams, sorted to lines and channels, in order.

Each destination (group and port) is a line. Which channel it is its messages say, by their types
(wire/idx/route.py); a venue with one channel has only that. Lines of one channel are those of one
stream, A and B or answers to requests, whatever their groups: one sequencer a channel puts them in
order, and waits GAP_WAIT_NS of the capture's time for what a line lost. Rows bear the capture's
times. A line whose messages are sent on every channel waits for one that tells.

What is no MoldUDP64 is passed over and counted; a capture without any is refused, with what it
holds. Reads nothing by itself (replay.py does).
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bursa.feeds.cut import NO_RECEIVE_TIME
from bursa.model.batch import BLOCKS
from bursa.model.errors import Refuse, Reject
from bursa.model.venue import Venue
from bursa.ports import Frames
from bursa.wire.idx import route
from bursa.wire.idx.layout import Layout
from bursa.wire.transport import moldudp64 as mold
from bursa.wire.transport import pcap
from bursa.wire.transport import sequencer as sequencing
from bursa.wire.transport.pcap import Datagram
from bursa.wire.transport.runs import Patience, Run, Step
from bursa.wire.transport.sequencer import Sequencer

GAP_WAIT_NS = 2_000_000_000
# Destinations of one capture that are told apart; those past it are passed over.
LINES_MAX = 256
# Packets of a line that are kept until its channel is known; past them it is guessed.
WAITING_MAX = 4096

Warn = Callable[[str], None]


def is_capture(path: Path) -> bool:
    """Whether a file, plain or gzip, is a capture."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as content:
            return pcap.is_capture(content.read(4))
    except (OSError, EOFError, zlib.error):  # what it is instead says who reads it on
        return False


class MoldCapture:
    """Implements feeds.cut.Cutter.

    where  names the file in errors
    warn   is told at the end what was passed over
    """

    def __init__(
        self,
        venue: Venue,
        layout: Layout,
        block_bytes_max: int,
        where: str,
        warn: Warn = lambda text: None,
    ) -> None:
        self.channels: set[int] = set()
        self._where, self._warn = where, warn
        self._block_bytes_max = block_bytes_max
        one = len(venue.channels) == 1
        self._of_type = None if one else route.table(venue, layout)
        patience = Patience(GAP_WAIT_NS, tries=0)
        self._sequencers = [Sequencer(LINES_MAX, patience) for _ in venue.channels]
        self._doubts = [mold.Doubt(sequencer) for sequencer in self._sequencers]
        self._capture = pcap.Capture()
        self._lines: dict[tuple[bytes, int], int] = {}
        self._channel_of: dict[int, int] = {}
        self._waiting: dict[int, list[Datagram]] = {}
        self._packets = 0
        self._passed: Counter[str] = Counter()
        self._ports: Counter[int] = Counter()
        sequencing.warm()

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all that is in order by now. Refuse `bad_recording` where the capture cannot be
        read on."""
        try:
            for datagram in self._capture.push(data):
                self._ports[datagram.port] += 1
                yield from self._datagram(datagram)
        except Reject as bad:
            what = f"{self._where}: {bad}, after {self._capture.packets} packets"
            raise Refuse(what, "bad_recording", parameter="file") from None

    def rest(self) -> Iterator[Frames]:
        """What waits for nothing any more. Refuse `bad_recording` where there was no MoldUDP64, or
        the last record is cut short."""
        for line in list(self._waiting):
            yield from self._guess(line)
        for channel, sequencer in enumerate(self._sequencers):
            yield from self._frames(channel, sequencer.give_up())
            doubt = self._doubts[channel]
            yield from self._frames(channel, doubt.give_up())
            if doubt.turned_away:
                self._passed["that do not fit the session under way"] += doubt.turned_away
            yield from self._frames(channel, sequencer.give_up())
        self._passed += self._capture.passed
        if self._passed:
            told = ", ".join(f"{count} {word}" for word, count in sorted(self._passed.items()))
            self._warn(f"{self._where}: packets passed over: {told}")
        if not self._packets:
            raise Refuse(self._none(), "bad_recording", parameter="file")
        if self._capture.rest:
            what = f"{self._where}: its last {self._capture.rest} bytes are no whole record"
            raise Refuse(what, "bad_recording", parameter="file")

    def _none(self) -> str:
        ports = ", ".join(f"{port} ({count})" for port, count in self._ports.most_common(5))
        return (
            f"{self._where}: none of {self._capture.packets} packets is MoldUDP64; "
            f"UDP ports in it: {ports or 'none'}"
        )

    # -- lines -------------------------------------------------------------------------------------

    def _datagram(self, datagram: Datagram) -> Iterator[Frames]:
        octets = np.frombuffer(bytearray(datagram.payload), np.uint8)
        try:
            packet = mold.parse(octets, 0, len(octets), self._block_bytes_max)
        except Reject as bad:
            self._passed[f"no MoldUDP64 ({bad.reason})"] += 1
            return
        line = self._lines.setdefault((datagram.host, datagram.port), len(self._lines))
        if line >= LINES_MAX:
            self._passed["more lines than are told apart"] += 1
            return
        self._packets += 1
        channel = self._channel_of.get(line)
        if channel is None:
            channel = self._find(datagram.payload, packet)
            if channel is None:
                waiting = self._waiting.setdefault(line, [])
                waiting.append(datagram)
                if len(waiting) > WAITING_MAX:
                    yield from self._guess(line)
                return
            yield from self._settle(line, channel)
        yield from self._frames(channel, self._order(channel, line, packet, datagram))

    def _settle(self, line: int, channel: int) -> Iterator[Frames]:
        """The line's channel is known: what waited for that goes first."""
        self._channel_of[line] = channel
        for earlier in self._waiting.pop(line, ()):
            self._packets -= 1  # it is counted again
            yield from self._datagram(earlier)

    def _guess(self, line: int) -> Iterator[Frames]:
        """No message told: the first channel that no other line has."""
        taken = set(self._channel_of.values())
        free = (c for c in range(len(self._sequencers)) if c not in taken)
        yield from self._settle(line, next(free, 0))

    def _find(self, payload: bytes, packet: mold.Packet) -> int | None:
        """The channel whose messages these are; None where they are sent on all."""
        if self._of_type is None:
            return 0
        at = mold.HEADER_BYTES
        for _ in range(packet.messages if packet.messages != mold.END else 0):
            channel = int(self._of_type[payload[at + 2]])
            if channel >= 0:
                return channel
            at += 2 + int.from_bytes(payload[at : at + 2], "big")
        return None

    def _order(
        self, channel: int, line: int, packet: mold.Packet, datagram: Datagram
    ) -> list[Step]:
        steps = self._sequencers[channel].poll(datagram.ts)
        session, blocks = mold.name_of(packet.session), datagram.payload[mold.HEADER_BYTES :]
        heard = mold.Heard(line, session, packet, blocks)
        ordered = self._doubts[channel].order(heard, datagram.ts)
        return steps if ordered is None else steps + ordered

    def _frames(self, channel: int, steps: list[Step]) -> Iterator[Frames]:
        """Runs as they are to be journalled. What the capture has not the decoder sees missing."""
        for step in steps:
            if isinstance(step, Run):
                self.channels.add(channel)
                ts = step.heard_ns if step.heard_ns > 0 else NO_RECEIVE_TIME
                payload = bytes(step.payload)
                yield Frames(channel, BLOCKS, step.session, step.first, step.count, ts, payload)
