"""What the surfaces ask of a venue that runs: its channels, how far it is, whether it delivers.

Functions over one runtime, each asked for the newest state whenever it is called.
"""

import functools
from collections.abc import Callable, Sequence

from bursa.api.services import ChannelState, GateDesk
from bursa.history.sampler import Sampled
from bursa.model.errors import Retry
from bursa.model.schema import OHLCV, topic
from bursa.pipeline import control
from bursa.pipeline.runtime import VenueRuntime


def gates_of(runtime: VenueRuntime) -> GateDesk:
    """The gates of a venue that has HD."""

    def rows() -> list[list[str]]:
        if runtime.ingest is None:
            raise Retry(f"{runtime.venue.name} is not ready yet: it recovers")
        return control.gates_told(runtime.line.gates, runtime.line.watermark_ns)

    return GateDesk(runtime.venue, rows, functools.partial(control.set_gates, runtime))


def delivers(runtime: VenueRuntime) -> Callable[[], None]:
    """A check: Retry names the channels of a configured feed that are away."""
    channels = channels_of(runtime)

    def check() -> None:
        away = [channel.name for channel in channels() if not (channel.up or channel.ended)]
        if runtime.has_feed and away:
            raise Retry(f"{', '.join(away)} away")

    return check


def sampled(runtime: VenueRuntime) -> Sampled:
    """What is compared of a venue: what live readers see, and what is stored."""
    parts, venue = runtime.parts, runtime.venue
    topics = {kind.name: topic(venue.name, kind) for kind in (OHLCV, parts.catalogue.kind)}
    return Sampled(venue, parts.rings, parts.store, topics)


def watermark_of(runtime: VenueRuntime) -> Callable[[], int]:
    """Event time that the venue has come to, ns UTC."""
    return lambda: runtime.line.watermark_ns


def channels_of(runtime: VenueRuntime) -> Callable[[], Sequence[ChannelState]]:
    """The channels as the surfaces see them, newest facts."""

    def channels() -> Sequence[ChannelState]:
        facts, ingest = runtime.facts, runtime.ingest
        out = []
        for number, channel in enumerate(runtime.venue.channels):
            state = None if ingest is None else ingest.channels[number]
            out.append(
                ChannelState(
                    channel.name,
                    state is not None and state.up,
                    0 if state is None else state.last_recv_ns,
                    facts.watermarks[number],
                    facts.state.get(channel.name, ""),
                    ended=channel.name in facts.ended or not runtime.has_feed,
                )
            )
        return out

    return channels


def feed_channels_of(runtime: VenueRuntime) -> Callable[[], Sequence[ChannelState]]:
    """The same, but none where no feed is configured."""
    channels = channels_of(runtime)
    return lambda: channels() if runtime.has_feed else ()
