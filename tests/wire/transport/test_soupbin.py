"""SoupBinTCP: both halves speak to each other, in any cut of the bytes."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model.errors import Reject
from bursa.wire.transport import soupbin
from bursa.wire.transport.soupbin import Client, Heard, Login, Packets, Said, Server, Step

REQUEST = Login("demo", "secret", "DAY7", 42)


def hear(client: Client, data: bytes, pieces: Sequence[int] = ()) -> list[tuple[Step, bytes]]:
    """All that the client hears of data that comes in pieces, DATA in runs of one packet."""
    found, start = [], 0
    buffer = np.frombuffer(bytearray(data), np.uint8)
    for end in [*sorted(pieces), len(data)]:
        step = client.hear(buffer, start, end)
        while step.heard is not Heard.MORE:
            found.append((step, data[step.start : step.end]))
            start = step.end
            if step.heard in (Heard.LOST, Heard.END, Heard.REJECTED):
                return found
            step = client.hear(buffer, start, end)
    return found


def test_a_login_is_understood_by_the_other_half() -> None:
    raw = soupbin.login(REQUEST)
    assert raw == b"\x00\x2fLdemo  secret          DAY7" + b"42".rjust(20)
    [(kind, payload)] = Packets().feed(raw)
    assert kind == "L" and soupbin.parse_login(payload) == REQUEST
    blank = Login("u", "", "", 1)
    [(_, payload)] = Packets().feed(soupbin.login(blank))
    assert soupbin.parse_login(payload) == blank


@pytest.mark.parametrize(
    "payload",
    [b"", b"x" * 45, b"x" * 47, b" " * 46, b" " * 45 + b"-", b"\xff" * 45 + b"1", b" " * 45 + b"x"],
)
def test_a_login_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(Reject, match="bad_login"):
        soupbin.parse_login(payload)


def test_the_server_numbers_from_what_it_granted() -> None:
    client = Client(REQUEST, 1024)
    data = soupbin.login_accepted("DAY8", 7) + soupbin.sequenced(b"a") + soupbin.sequenced(b"")
    data += soupbin.heartbeat() + soupbin.debug("hello") + soupbin.sequenced(b"b" * 1023)
    heard = hear(client, data + soupbin.end_of_session())
    assert [(step.heard, step.first_seq, step.count) for step, _ in heard] == [
        (Heard.ACCEPTED, 7, 0),
        (Heard.DATA, 7, 2),
        (Heard.HEARTBEAT, 0, 0),
        (Heard.DEBUG, 0, 0),
        (Heard.DATA, 9, 1),
        (Heard.END, 0, 0),
    ]
    assert (client.session, client.next_seq) == ("DAY8", 10)


def test_a_refused_login_says_why() -> None:
    [(step, _)] = hear(Client(REQUEST, 1024), soupbin.login_rejected(soupbin.NO_SUCH_SESSION))
    assert (step.heard, step.code) == (Heard.REJECTED, "S")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",
        b"\x04\x01S",
        soupbin.packet("A", b"short"),
        soupbin.packet("A", b" " * 30),
        soupbin.login_accepted("D", 0),
        soupbin.sequenced(b"before any login"),
    ],
)
def test_what_no_packet_can_begin_with_loses_the_connection(data: bytes) -> None:
    assert [step.heard for step, _ in hear(Client(REQUEST, 1024), data)] == [Heard.LOST]


def test_packets_before_a_lost_framing_are_delivered() -> None:
    data = soupbin.login_accepted("D", 1) + soupbin.sequenced(b"a") + b"\x00\x00"
    kinds = [step.heard for step, _ in hear(Client(REQUEST, 1024), data)]
    assert kinds == [Heard.ACCEPTED, Heard.DATA, Heard.LOST]


@given(st.data())
def test_any_cut_of_the_bytes_is_heard_alike(data: st.DataObject) -> None:
    packets = data.draw(
        st.lists(
            st.one_of(
                st.binary(max_size=40).map(soupbin.sequenced),
                st.just(soupbin.heartbeat()),
                st.just(soupbin.debug("x" * 30)),
                st.binary(max_size=9).map(lambda raw: soupbin.packet("U", raw)),
            ),
            max_size=20,
        )
    )
    stream = soupbin.login_accepted("D", 5) + b"".join(packets)
    pieces = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    whole, cut = Client(REQUEST, 100), Client(REQUEST, 100)
    kept = [raw for step, raw in hear(whole, stream) if step.heard is Heard.DATA]
    found = [raw for step, raw in hear(cut, stream, pieces) if step.heard is Heard.DATA]
    assert b"".join(kept) == b"".join(found) == b"".join(p for p in packets if p[2:3] == b"S")
    assert whole.next_seq == cut.next_seq == 5 + sum(p[2:3] == b"S" for p in packets)


@given(st.data())
def test_the_quiet_direction_in_any_cut(data: st.DataObject) -> None:
    parts = [soupbin.login(REQUEST), soupbin.client_heartbeat(), soupbin.logout()]
    stream, packets, found = b"".join(parts), Packets(), []
    at = 0
    while at < len(stream):
        size = data.draw(st.integers(1, 60))
        found += list(packets.feed(stream[at : at + size]))
        at += size
    assert [kind for kind, _ in found] == ["L", "R", "O"]


def test_what_is_outside_the_stream_is_never_numbered() -> None:
    client = Client(REQUEST, 1024)
    data = soupbin.debug("before the login") + soupbin.login_accepted("DAY7", 42)
    data += soupbin.unsequenced(b"by the way") + soupbin.sequenced(b"a") + soupbin.packet("?", b"b")
    heard = [step for step, _ in hear(client, data + soupbin.sequenced(b"c"))]
    assert [step.heard for step in heard] == [
        *(Heard.DEBUG, Heard.ACCEPTED, Heard.UNSEQUENCED, Heard.DATA, Heard.OTHER, Heard.DATA)
    ]
    assert heard[0].text == "before the login" and client.next_seq == 44


def test_the_server_half_hears_all_that_a_client_may_say() -> None:
    server = Server()
    data = soupbin.debug("hello") + soupbin.login(REQUEST) + soupbin.client_heartbeat()
    data += soupbin.unsequenced(b"order") + soupbin.debug("still here") + soupbin.logout()
    found = [each for byte in data for each in server.hear(bytes([byte]))]
    assert [said for said, _ in found] == [
        *(Said.DEBUG, Said.LOGIN, Said.HEARTBEAT, Said.UNSEQUENCED, Said.DEBUG, Said.LOGOUT)
    ]
    assert server.request == REQUEST and found[3][1] == b"order" and found[4][1] == b"still here"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (soupbin.client_heartbeat(), "before any login"),
        (soupbin.unsequenced(b"x"), "before any login"),
        (soupbin.login(REQUEST) * 2, "second login"),
        (soupbin.sequenced(b"x"), "a client sends no packet"),
        (soupbin.packet("L", b"short"), "not 46"),
        (soupbin.packet("U", b"x" * 1024), "framing_lost"),
    ],
)
def test_a_client_that_does_not_keep_to_it_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Reject, match=why):
        list(Server().hear(data))


def test_a_packet_has_a_length_that_two_bytes_can_say() -> None:
    longest = soupbin.sequenced(b"x" * (soupbin.PACKET_BYTES_MAX - 1))
    assert longest[:3] == b"\xff\xffS"
    client = Client(REQUEST, soupbin.PACKET_BYTES_MAX)
    [_, (step, raw)] = hear(client, soupbin.login_accepted("DAY7", 42) + longest)
    assert (step.heard, raw) == (Heard.DATA, longest)
    with pytest.raises(AssertionError, match="too many"):
        soupbin.sequenced(b"x" * soupbin.PACKET_BYTES_MAX)


@pytest.mark.parametrize("raw", [b"\x00\x00", b"\x04\x01L"])
def test_the_quiet_direction_has_a_limit(raw: bytes) -> None:
    with pytest.raises(Reject, match="framing_lost"):
        list(Packets(1024).feed(raw))


@given(st.binary(max_size=200))
def test_any_bytes_are_heard_without_passing_their_end(raw: bytes) -> None:
    client = Client(REQUEST, 64)
    for step, _ in hear(client, raw):
        assert 0 <= step.start <= step.end <= len(raw)
