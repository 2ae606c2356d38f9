"""The table of a MoldUDP64 source. Registered in sources.py."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from bursa.config.form import Table, doc

_HOST = r"[A-Za-z0-9_.\-]+:[0-9]{1,5}"
Listed = Annotated[str, Meta(pattern=rf"^(|{_HOST}(, ?{_HOST})*)$")]
_LINE = "group:port to join, or address:port to listen on"
_SERVERS = "host:port of who repeats messages of it, by commas; empty: nobody is asked"


class MoldUdp(Table, frozen=True, kw_only=True, tag_field="type", tag="moldudp64"):
    """MoldUDP64: one or two lines a channel, and request servers."""

    venue: Annotated[Literal["idx", "xnas"], doc("venue whose wire it speaks")]
    itch_a: Annotated[Listed, doc(f"xnas, line A: {_LINE}")] = ""
    itch_b: Annotated[Listed, doc(f"xnas, line B: {_LINE}; empty: there is one line")] = ""
    itch_requests: Annotated[Listed, doc(f"xnas: {_SERVERS}")] = ""
    idxdata_a: Annotated[Listed, doc(f"idx, trades, line A: {_LINE}")] = ""
    idxdata_b: Annotated[Listed, doc(f"idx, trades, line B: {_LINE}; empty: there is one")] = ""
    idxdata_requests: Annotated[Listed, doc(f"idx, trades: {_SERVERS}")] = ""
    itchdata_a: Annotated[Listed, doc(f"idx, market data, line A: {_LINE}")] = ""
    itchdata_b: Annotated[
        Listed, doc(f"idx, market data, line B: {_LINE}; empty: there is one")
    ] = ""
    itchdata_requests: Annotated[Listed, doc(f"idx, market data: {_SERVERS}")] = ""
    interface: Annotated[
        str, doc("network interface on which groups are joined: its name or IPv4 address")
    ] = ""
    start: Annotated[
        Literal["first", "now"],
        doc("where a channel begins of which nothing is known: message 1, or what comes"),
    ] = "first"
    first_wait_ms: Annotated[
        float, doc("how long the other line may take before a gap is asked for", ge=0, le=60_000)
    ] = 5.0
    again_ms: Annotated[
        float, doc("how long an answer may take before it is asked again", ge=1, le=60_000)
    ] = 200.0
    tries: Annotated[
        int, doc("requests without an answer until a gap is given up", ge=1, le=1000)
    ] = 5
    ask_messages: Annotated[
        int, doc("messages that one request asks for at most", ge=1, le=65_534)
    ] = 10_000
    dead_s: Annotated[
        float, doc("seconds without a packet until a line is down", ge=0.1, le=3600)
    ] = 15.0
    receive_mb: Annotated[int, doc("MiB of each socket's buffer in the kernel", ge=1, le=1024)] = 32
    held_mb: Annotated[
        int, doc("MiB of messages of a channel that may wait behind a gap", ge=1, le=4096)
    ] = 32

    def lines(self, channel: str) -> list[tuple[str, int]]:
        """Line A of a channel, and B where there is one."""
        return [line for end in "ab" for line in _split(getattr(self, f"{channel}_{end}"))]

    def requests(self, channel: str) -> list[tuple[str, int]]:
        """Its request servers."""
        return list(_split(getattr(self, f"{channel}_requests")))


def _split(listed: str) -> Iterator[tuple[str, int]]:
    for endpoint in listed.split(",") if listed else ():
        host, _, port = endpoint.strip().rpartition(":")
        yield host, int(port)


def misfit(source: MoldUdp, wanted: Sequence[str]) -> tuple[str, str]:
    """(key, what is wrong with it) where the channels' keys do not fit those of the venue."""
    for channel in wanted:
        if not getattr(source, f"{channel}_a"):
            return f"{channel}_a", f"is missing: group:port of that channel of {source.venue}"
    for channel in ("itch", "idxdata", "itchdata"):
        for end in ("a", "b", "requests"):
            key = f"{channel}_{end}"
            value = getattr(source, key)
            if value and channel not in wanted:
                return key, f"venue {source.venue} has no such channel"
            if end != "requests" and "," in value:
                return key, f"{value}: a line has one address"
    return "", ""
