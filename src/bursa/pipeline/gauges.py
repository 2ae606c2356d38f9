"""What a running venue tells of itself: how full its topics and rings are, and what it derived."""

from collections.abc import Sequence

from bursa.bus.memory import Log
from bursa.model.venue import Venue
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import Derived
from bursa.store.rings import Rings

STORE = "store"


def topics(telemetry: Telemetry, venue: str, log: Log) -> None:
    """The topics in memory, and how far behind them the store's reader is."""
    telemetry.topic_rows.labels(venue).set(log.rows)
    telemetry.topic_bytes.labels(venue).set(log.bytes)
    telemetry.topic_lag.labels(venue, STORE).set(log.lag(STORE))
    telemetry.topic_evicted.labels(venue, STORE).set(log.evicted(STORE))
    telemetry.topic_redelivered.labels(venue, STORE).set(log.redelivered(STORE))


def memory(telemetry: Telemetry, venue: Venue, rings: Rings, watermarks: Sequence[int]) -> None:
    """The rings, and each channel's newest event time, ns UTC."""
    telemetry.rings_bytes.labels(venue.name).set(rings.bytes)
    telemetry.rings_evicted.labels(venue.name).set(rings.evicted)
    for channel, mark in zip(venue.channels, watermarks, strict=True):
        telemetry.watermark.labels(venue.name, channel.name).set(mark / 1e9)


def derived(telemetry: Telemetry, venue: str, one: Derived) -> None:
    """Rows by kind, and what else a push of the stages counted."""
    for batch in one.batches:
        telemetry.rows.labels(venue, batch.kind.name).inc(len(batch))
    for word, count in one.counts.items():
        if (counter := telemetry.by_prefix.get(word.partition("_")[0])) is not None:
            counter.labels(venue, word.partition("_")[2]).inc(count)
        elif (counter := telemetry.by_word.get(word)) is not None:
            counter.labels(venue).inc(count)
        elif word != "messages":  # counted by channel where they come in
            telemetry.events.labels(venue, word).inc(count)
