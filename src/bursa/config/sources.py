"""What a source is configured by: the tables `[feeds.NAME]`, told apart by their `type`.

A table without a type is a SoupBinTCP line. Where a source takes one endpoint a channel, the keys
bear the channels' names; `check` wants those of the source's venue and no others. Which feed is
made of a table: bursa/sources.py.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from bursa.config.brokers import Amqp, Endpoints, Kafka
from bursa.config.form import Endpoint, Table, doc
from bursa.config.mold import Listed, MoldUdp, misfit
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES

FeedName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{0,31}$")]
ChannelEndpoint = Annotated[str, Meta(pattern=r"^(|[A-Za-z0-9_.\-]+:[0-9]{1,5})$")]
_ENDPOINTS = {
    note.pattern
    for kind in (Listed, Endpoint, ChannelEndpoint, Endpoints)
    for note in get_args(kind)[1:]
}


class Lines(Table, frozen=True):
    """A source with one endpoint a channel of its venue."""

    idxdata: Annotated[ChannelEndpoint, doc("idx: host:port of the trades channel")] = ""
    itchdata: Annotated[ChannelEndpoint, doc("idx: host:port of the market-data channel")] = ""
    itch: Annotated[ChannelEndpoint, doc("xnas: host:port of its channel")] = ""


class SoupBin(Lines, frozen=True, kw_only=True, tag_field="type", tag="soupbin"):
    """A SoupBinTCP line: one session a channel."""

    venue: Annotated[Literal["idx", "xnas"], doc("venue whose wire it speaks")]
    user: Annotated[str, doc("login name of the line", max_length=6)] = ""
    password: Annotated[
        str, doc("password of the line; best set by its variable", max_length=10)
    ] = ""


class Tcp(Lines, frozen=True, kw_only=True, tag_field="type", tag="tcp"):
    """Bare sockets on which blocks or lines come without a session, one a channel."""

    venue: Annotated[Literal["idx", "xnas"], doc("venue whose wire it speaks")]
    silent_s: Annotated[
        float,
        doc("seconds without a byte until a connection is opened anew; 0: never", ge=0, le=86_400),
    ] = 60.0


class Stdin(Table, frozen=True, kw_only=True, tag_field="type", tag="stdin"):
    """Standard input: blocks or lines, until it ends."""

    venue: Annotated[Literal["idx", "xnas"], doc("venue whose wire it speaks")]


Source = MoldUdp | SoupBin | Tcp | Stdin | Amqp | Kafka
"""The union of all tables of sources."""

TYPES: Mapping[str, type[Table]] = {
    "soupbin": SoupBin,
    "tcp": Tcp,
    "stdin": Stdin,
    "moldudp64": MoldUdp,
    "amqp": Amqp,
    "kafka": Kafka,
}
"""Type -> table; the first is meant where a source names none."""

DEFAULT = next(iter(TYPES))


def endpoints(source: Table) -> Iterator[tuple[str, str]]:
    """(key, host:port) of every endpoint that a source names."""
    for field in msgspec.structs.fields(source):
        notes = getattr(field.type, "__metadata__", ())
        if any(isinstance(note, Meta) and note.pattern in _ENDPOINTS for note in notes):
            value = getattr(source, field.name)
            for endpoint in value.split(",") if value else ():
                yield field.name, endpoint.strip()


def channels(source: Lines, venue: str) -> dict[int, tuple[str, int]]:
    """Channel's index -> (host, port), of a table that was checked."""
    out = {}
    for number, channel in enumerate(VENUES[venue].channels):
        host, _, port = getattr(source, channel.name).rpartition(":")
        out[number] = (host, int(port))
    return out


def check(path: str, source: Table, given_by: Mapping[str, str]) -> None:
    """Refuse what a type cannot say: ports past the range (text, which a pattern would describe
    badly), endpoints of channels that the venue has not, channels without one. `path` is
    `feeds.NAME`, `given_by` tells where a value came from."""
    for key, endpoint in endpoints(source):
        port = int(endpoint.rpartition(":")[2])
        if not 1 <= port <= 65_535:
            what = f"port {port} of {endpoint!r}, allowed: 1 to 65535"
            raise _wrong(f"{path}.{key}", f"{what}; given by {given_by.get(f'{path}.{key}', '?')}")
    if isinstance(source, Lines):
        _check_channels(path, source)
    for key, what in _unfit(source):
        raise _wrong(f"{path}.{key}", what)
    if isinstance(source, MoldUdp):
        key, what = misfit(source, [channel.name for channel in VENUES[source.venue].channels])
        if key:
            raise _wrong(f"{path}.{key}", what)


def _unfit(source: Table) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it) of logins that nobody could send. Tells no password."""
    if isinstance(source, SoupBin):
        for key in ("user", "password"):
            if not getattr(source, key).isascii():
                yield key, "holds a character that is not ASCII; the protocol has no other"
    elif isinstance(source, Kafka):
        if source.sasl and not (source.user and source.password):
            yield "sasl", f"{source.sasl} needs a user and a password"
        if source.user and not source.sasl:
            yield "user", "is not sent anywhere without sasl: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"


def _check_channels(path: str, source: Lines) -> None:
    venue = str(getattr(source, "venue", ""))
    wanted = [channel.name for channel in VENUES[venue].channels]
    for field in msgspec.structs.fields(Lines):
        given = bool(getattr(source, field.name))
        where = f"{path}.{field.name}"
        if field.name in wanted and not given:
            raise _wrong(where, f"is missing: host:port of that channel of venue {venue}")
        if given and field.name not in wanted:
            raise _wrong(where, f"venue {venue} has no such channel; it has {', '.join(wanted)}")


def _wrong(path: str, what: str) -> Refuse:
    return Refuse(f"{path}: {what}", "bad_config", parameter=path)
