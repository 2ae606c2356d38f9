"""The process's counters and gauges, for Prometheus: every drop, refusal, retry, gap and queue.

Parts take the object they count with; nothing is counted that is not described here. Indicators of
the market are *metrics* (metrics/), never telemetry.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)


class Telemetry:
    """All counters of one process, in a registry of its own (so that tests can make many)."""

    def __init__(self) -> None:  # noqa: PLR0915 - a list, one line a counter
        self.registry = CollectorRegistry()
        r = self.registry

        def count(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"bursa_{name}", text, labels, registry=r)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"bursa_{name}", text, labels, registry=r)

        def spread(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"bursa_{name}", text, labels, registry=r, buckets=_SECONDS)

        self.messages = count("messages", "Messages decoded", "venue", "channel")
        self.bytes_in = count("feed_bytes", "Bytes that feeds delivered", "venue", "channel")
        self.rejected = count("rejected", "Messages refused and quarantined", "venue", "reason")
        self.duplicates = count("duplicates", "Messages already seen, dropped", "venue")
        self.gaps = count("gaps", "Sequence gaps", "venue")
        self.missing = count("gap_messages", "Messages missing in sequence gaps", "venue")
        self.late = count("late_ticks", "Ticks past the revisable window: stored, no bar", "venue")
        self.rows = count("rows", "Rows derived", "venue", "kind")
        self.feed_up = gauge("feed_up", "1 while the channel delivers", "venue", "channel")
        self.feed_downs = count("feed_downs", "Times a channel went away", "venue", "channel")
        self.feed_retries = count("feed_retries", "Connection attempts after a failure", "venue")
        self.watermark = gauge("watermark_seconds", "Newest event time seen", "venue", "channel")

        self.journal_bytes = count("journal_bytes", "Bytes appended to the journal", "venue")
        self.journal_unsynced = gauge("journal_unsynced_bytes", "Appended, not synced", "venue")
        self.journal_sync = spread("journal_sync_seconds", "Time of one sync", "venue")
        self.journal_errors = count("journal_errors", "Appends or syncs that failed", "venue")
        self.journal_damaged = count("journal_damaged", "Records with a bad checksum", "venue")
        self.journal_retired = count("journal_retired_bytes", "Bytes of dropped segments", "venue")
        self.checkpoint_s = spread("checkpoint_seconds", "Time to save one checkpoint", "venue")
        self.checkpoints_bad = count("checkpoints_passed_over", "Unusable checkpoints", "venue")

        self.topic_rows = gauge("topic_rows", "Rows held in memory for readers", "venue")
        self.topic_bytes = gauge("topic_bytes", "Bytes held in memory for readers", "venue")
        self.topic_lag = gauge(
            "topic_lag_bytes", "Journal bytes a reader is behind", "venue", "group"
        )
        self.topic_evicted = count(
            "topic_evicted_rows", "Rows a reader re-derives", "venue", "group"
        )
        self.topic_redelivered = count(
            "topic_redelivered", "Batches delivered again", "venue", "group"
        )

        self.store_rows = count("store_rows", "Rows committed", "venue", "kind")
        self.store_thinned = count(
            "store_thinned_rows", "Rows left out by configuration", "venue", "kind"
        )
        self.store_write = spread("store_write_seconds", "Time of one transaction", "venue")
        self.store_retries = count("store_retries", "Writes tried again", "venue")
        self.store_dropped = count(
            "store_retired_rows", "Rows dropped by retention", "venue", "kind"
        )
        self.store_set_aside = count("store_set_aside", "Store files that refused to open")

        self.http_requests = count("http_requests", "Answers", "route", "status")
        self.http_seconds = spread("http_seconds", "Time to answer", "route")
        self.refused = count("refused", "Requests refused", "code")
        self.clients = gauge("stream_clients", "Connected stream clients")
        self.stream_frames = count("stream_frames", "Frames sent", "type")
        self.stream_conflated = count("stream_conflated", "Partial bars left out for slow clients")
        self.stream_closed = count("stream_closed", "Clients closed because they were slow")
        self.stream_queue = gauge("stream_queue", "Batches waiting for the stream")
        self.rings_bytes = gauge("rings_bytes", "Memory of the rings", "venue")
        self.rings_evicted = count("rings_evicted", "Rings that left memory", "venue")
        self.kernels_warm = gauge("kernels_warm_seconds", "Time to compile or load the kernels")
        self.disk_bytes = gauge("data_bytes", "Bytes of the data folder")

        # The words that stages count by (`Decoded.counts`, `Built.counts`), labelled by venue.
        self.by_word = {
            "duplicates": self.duplicates,
            "gaps": self.gaps,
            "missing": self.missing,
            "late": self.late,
        }

    def serve(self, port: int) -> tuple[int, Callable[[], None]]:
        """Answer `127.0.0.1:port/metrics`; 0 takes a free port. Returns the port and a stop.
        Raises OSError where the port is taken."""
        server, thread = start_http_server(port, "127.0.0.1", self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(2)

        return int(server.server_port), stop
