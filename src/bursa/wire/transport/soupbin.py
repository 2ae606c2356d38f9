"""SoupBinTCP 3.0 without sockets: both halves of the session under a sequenced feed.

A packet is a big-endian u16 length (of what follows it), one type character and a payload.

    server  A accepted (session 10, seq 20)   J rejected (code 1)   S sequenced data
            U unsequenced data   H heartbeat   Z end of session   + debug text
    client  L login (user 6, password 10, session 10, seq 20)   U   R heartbeat   O logout   +

Text is ASCII; user and password are padded with blanks on the right, session and number on the
left. A sequenced packet bears no number: the n-th after `A` is seq + n. A blank session asks for
the one that runs now, a number of 0 for what comes from now on. Unsequenced data bears no number,
is not sent again and counts for nothing in the order. Either side sends a heartbeat after a second
without another packet; one that hears nothing for 15 seconds may give the other up.

Does no I/O and holds no clock: feeds/tcp.py and the demo exchange bring both. Does not look into
the messages (wire/idx/decoder.py does).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.errors import Reject
from bursa.wire.loads import KERNEL, be16, byte

USER_BYTES = 6
PASSWORD_BYTES = 10
SESSION_BYTES = 10
SEQ_BYTES = 20
LOGIN_BYTES = USER_BYTES + PASSWORD_BYTES + SESSION_BYTES + SEQ_BYTES

HEARTBEAT_S = 1.0
DEAD_AFTER_S = 15.0

NOT_AUTHORISED, NO_SUCH_SESSION = "A", "S"
"""Codes of a refused login."""

PACKET_BYTES_MAX = 65_535
"""Of what a packet's length counts: its type and its payload."""

_ACCEPTED, _REJECTED, _DATA, _HEARTBEAT, _END, _DEBUG, _UNSEQUENCED = (ord(c) for c in "AJSHZ+U")

# What `scan` stopped at, where it is not a packet type.
_MORE, _LOST = 0, -1


@dataclass(frozen=True, slots=True)
class Login:
    """What a client asks for: `session` "" is the running one, `seq` 0 only what comes from now."""

    user: str
    password: str
    session: str
    seq: int


def packet(kind: str, payload: bytes = b"") -> bytes:
    """One packet of any type."""
    assert len(payload) < PACKET_BYTES_MAX, f"{len(payload)} bytes are too many for a packet"
    return (len(payload) + 1).to_bytes(2, "big") + kind.encode("ascii") + payload


def _right(text: str, width: int) -> bytes:
    raw = text.encode("ascii").rjust(width)
    assert len(raw) == width, f"{text!r} is longer than {width} bytes"
    return raw


def _left(text: str, width: int) -> bytes:
    raw = text.encode("ascii").ljust(width)
    assert len(raw) == width, f"a text of the login is longer than {width} bytes"
    return raw


def login(request: Login) -> bytes:
    """Client: log in."""
    user, password = _left(request.user, USER_BYTES), _left(request.password, PASSWORD_BYTES)
    session, seq = _right(request.session, SESSION_BYTES), _right(str(request.seq), SEQ_BYTES)
    return packet("L", user + password + session + seq)


def client_heartbeat() -> bytes:
    """Client: alive, nothing to say."""
    return packet("R")


def logout() -> bytes:
    """Client: about to leave."""
    return packet("O")


def login_accepted(session: str, seq: int) -> bytes:
    """Server: the next sequenced packet is number `seq` of `session`."""
    return packet("A", _right(session, SESSION_BYTES) + _right(str(seq), SEQ_BYTES))


def login_rejected(code: str) -> bytes:
    """Server: refused, NOT_AUTHORISED or NO_SUCH_SESSION; the server closes after it."""
    return packet("J", code.encode("ascii"))


def sequenced(message: bytes) -> bytes:
    """Server: one message of the stream."""
    return packet("S", message)


def heartbeat() -> bytes:
    """Server: alive, nothing to say."""
    return packet("H")


def end_of_session() -> bytes:
    """Server: the session is over; the server closes after it."""
    return packet("Z")


def unsequenced(message: bytes) -> bytes:
    """Either side: a message outside the stream."""
    return packet("U", message)


def debug(text: str) -> bytes:
    """Either side: text for a human who watches the wire; who hears it passes over it."""
    return packet("+", text.encode("ascii", "replace"))


def _number(raw: bytes) -> int:
    text = raw.strip(b" ")
    if not text.isdigit():
        raise Reject("bad_login", f"{raw!r} is no sequence number")
    return int(text)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii").strip(" ")
    except UnicodeDecodeError:
        raise Reject("bad_login", f"{raw!r} is not ASCII") from None


def parse_login(payload: bytes) -> Login:
    """Server: the payload of an `L` packet. Raises Reject where it is none."""
    if len(payload) != LOGIN_BYTES:
        raise Reject("bad_login", f"{len(payload)} bytes, not {LOGIN_BYTES}")
    user, rest = payload[:USER_BYTES], payload[USER_BYTES:]
    password, rest = rest[:PASSWORD_BYTES], rest[PASSWORD_BYTES:]
    session, seq = rest[:SESSION_BYTES], rest[SESSION_BYTES:]
    return Login(_text(user), _text(password), _text(session), _number(seq))


def parse_accepted(payload: bytes) -> tuple[str, int]:
    """Client: session and next number of an `A` packet. Raises Reject where it is none."""
    if len(payload) != SESSION_BYTES + SEQ_BYTES:
        raise Reject("bad_login", f"{len(payload)} bytes, not {SESSION_BYTES + SEQ_BYTES}")
    session, seq = _text(payload[:SESSION_BYTES]), _number(payload[SESSION_BYTES:])
    if seq < 1:
        raise Reject("bad_login", "sequence numbers begin at 1")
    return session, seq


class Packets:
    """Bytes in, whole packets out, for the quiet direction (what a client tells a server).

    An unfinished packet waits inside; one longer than `bytes_max` raises Reject, after which the
    connection is of no use.
    """

    def __init__(self, bytes_max: int = 1024) -> None:
        self._tail = b""
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """(type, payload) of each packet that is complete now."""
        self._tail += data
        while len(self._tail) >= 2:
            size = int.from_bytes(self._tail[:2], "big")
            if size == 0 or size > self._bytes_max:
                raise Reject("framing_lost", f"a packet of {size} bytes")
            if len(self._tail) < 2 + size:
                return
            body, self._tail = self._tail[2 : 2 + size], self._tail[2 + size :]
            yield chr(body[0]), body[1:]


class Said(Enum):
    """What a server hears."""

    LOGIN = auto()
    HEARTBEAT = auto()
    UNSEQUENCED = auto()
    DEBUG = auto()
    LOGOUT = auto()


class Server:
    """The server half of one connection: a login first, once; then what a client may say.

    request   the login, once it was heard
    """

    def __init__(self, bytes_max: int = 1024) -> None:
        self.request: Login | None = None
        self._packets = Packets(bytes_max)

    def hear(self, data: bytes) -> Iterator[tuple[Said, bytes]]:
        """(what, payload) of each packet that is complete now. Raises Reject where the connection
        is of no use any more: `framing_lost`, `bad_login` (none, a second one, or not first),
        `bad_packet` (a type that no client sends)."""
        for kind, payload in self._packets.feed(data):
            said = _SAID.get(kind)
            if said is None:
                raise Reject("bad_packet", f"a client sends no packet of type {kind!r}")
            if said is Said.LOGIN:
                if self.request is not None:
                    raise Reject("bad_login", "a second login on one connection")
                self.request = parse_login(payload)
            elif self.request is None and said is not Said.DEBUG:
                raise Reject("bad_login", f"{kind!r} before any login")
            yield said, payload


_SAID = {
    "L": Said.LOGIN,
    "R": Said.HEARTBEAT,
    "U": Said.UNSEQUENCED,
    "+": Said.DEBUG,
    "O": Said.LOGOUT,
}


@njit(**KERNEL)
def scan(buffer: NDArray[np.uint8], start: int, end: int, bytes_max: int) -> tuple[int, int, int]:
    """Walk the run of sequenced packets that begins at `start`.

    buffer   uint8 (n,); bytes [start, end) are filled
    returns  (at, count, kind): `count` whole S packets lie in [start, at); at `at` stands a whole
             packet of type `kind`, or an unfinished one (0), or one of length 0 or above
             `bytes_max` (-1)
    """
    at, count = start, 0
    while at + 2 <= end:
        size = be16(buffer, at)
        if size == 0 or size > bytes_max:
            return at, count, _LOST
        if at + 2 + size > end:
            break
        if buffer[at + 2] != _DATA:
            return at, count, byte(buffer, at + 2)
        at += 2 + size
        count += 1
    return at, count, _MORE


class Heard(Enum):
    """What a client hears."""

    MORE = auto()  # nothing whole is left: read on
    DATA = auto()  # sequenced packets
    ACCEPTED = auto()
    REJECTED = auto()
    HEARTBEAT = auto()
    END = auto()  # of the session
    DEBUG = auto()  # text, passed over
    UNSEQUENCED = auto()  # data outside the stream, passed over
    OTHER = auto()  # a type that this protocol does not have: passed over
    LOST = auto()  # no packet can begin here: close the connection


@dataclass(frozen=True, slots=True)
class Step:
    """One thing heard, lying in [start, end) of the buffer; `count` packets from `first_seq` on
    where it is DATA, `code` where it is REJECTED, `text` where it is DEBUG."""

    heard: Heard
    start: int
    end: int
    first_seq: int = 0
    count: int = 0
    code: str = ""
    text: str = ""


class Client:
    """The client half of one connection: login first, then numbers what comes.

    session, next_seq   what the server granted; what was asked for until then
    """

    def __init__(self, request: Login, packet_bytes_max: int) -> None:
        self.session = request.session
        self.next_seq = request.seq
        self.accepted = False
        self._request = request
        self._bytes_max = packet_bytes_max

    def login(self) -> bytes:
        """What to send first."""
        return login(self._request)

    def hear(self, buffer: NDArray[np.uint8], start: int, end: int) -> Step:
        """The next thing in the filled bytes [start, end). Call on from `Step.end` until MORE
        (its rest is kept by the caller), REJECTED, END or LOST."""
        at, count, kind = scan(buffer, start, end, self._bytes_max)
        if count:
            if not self.accepted:
                return Step(Heard.LOST, start, at)
            first_seq, self.next_seq = self.next_seq, self.next_seq + count
            return Step(Heard.DATA, start, at, first_seq, count)
        if kind == _MORE:
            return Step(Heard.MORE, start, start)
        if kind == _LOST:
            return Step(Heard.LOST, start, end)
        after = at + 2 + be16(buffer, at)
        return self._control(kind, bytes(buffer[at + 3 : after]), at, after)

    def _control(self, kind: int, payload: bytes, start: int, end: int) -> Step:
        if kind == _ACCEPTED and not self.accepted:
            try:
                self.session, self.next_seq = parse_accepted(payload)
            except Reject:
                return Step(Heard.LOST, start, end)
            self.accepted = True
            return Step(Heard.ACCEPTED, start, end, self.next_seq)
        if kind == _REJECTED:
            return Step(Heard.REJECTED, start, end, code=payload.decode("ascii", "replace"))
        if kind == _HEARTBEAT:
            return Step(Heard.HEARTBEAT, start, end)
        if kind == _END:
            return Step(Heard.END, start, end)
        if kind == _DEBUG:
            return Step(Heard.DEBUG, start, end, text=payload.decode("ascii", "replace"))
        if kind == _UNSEQUENCED:
            return Step(Heard.UNSEQUENCED, start, end)
        return Step(Heard.OTHER, start, end)


def warm() -> None:
    """Compile what the client calls, before a port is opened."""
    scan(np.zeros(16, np.uint8), 0, 2, 1)
