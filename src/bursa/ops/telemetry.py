"""The process's counters and gauges, for Prometheus: every drop, refusal, retry, gap and queue.

Parts take the object they count with; nothing is counted that is not described here. Indicators of
the market are *metrics* (metrics/), never telemetry.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from bursa.ops.spread import Spread

_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")
_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)


class Name(NamedTuple):
    """One name under which something is counted, as Prometheus sees it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


class _Maker:
    """Makes counters, gauges and histograms of one registry; names get the program's prefix."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def count(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"bursa_{name}", text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"bursa_{name}", text, labels, registry=self._registry)

    def spread(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"bursa_{name}", text, labels, registry=self._registry, buckets=_SECONDS)


class Telemetry:
    """All counters of one process, in a registry of its own (so that tests can make many)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Times to answer by route, finer than a histogram's buckets (fed by the guard, for /stats).
        self.routes: dict[str, Spread] = {}
        make = _Maker(self.registry)
        self._feeds(make)
        self._journal(make)
        self._store(make)
        self._jobs(make)
        self._surfaces(make)
        self._accounts(make)
        # The words that stages count by (`Decoded.counts`, `Built.counts`), labelled by venue.
        self.by_word = {
            "duplicates": self.duplicates,
            "gaps": self.gaps,
            "missing": self.missing,
            "late_ticks": self.late,
        }
        # The same of words that end with the value of a second label: `rejected_bad_ts`.
        self.by_prefix = {
            "rejected": self.rejected,
            "unstored": self.unstored,
            "unpublished": self.unpublished,
            "entered": self.entered,
        }

    def _feeds(self, make: _Maker) -> None:
        self.messages = make.count(
            "messages", "Messages of the feed that were decoded", "venue", "channel"
        )
        self.bytes_in = make.count("feed_bytes", "Bytes that feeds delivered", "venue", "channel")
        self.rejected = make.count(
            "rejected", "Messages refused and quarantined", "venue", "reason"
        )
        self.duplicates = make.count("duplicates", "Messages already seen, dropped", "venue")
        self.gaps = make.count("gaps", "Jumps in the sequence numbers of a feed", "venue")
        self.missing = make.count("gap_messages", "Messages missing in sequence gaps", "venue")
        self.late = make.count(
            "late_ticks", "Ticks past the revisable window: stored, no bar", "venue"
        )
        self.events = make.count(
            "stage_events", "Whatever else stages count, by its word", "venue", "word"
        )
        self.rows = make.count("rows", "Rows that the stages derived to store", "venue", "kind")
        self.unstored = make.count(
            "unstored_rows", "Rows that a kind's `store` switch spared the store", "venue", "kind"
        )
        self.unpublished = make.count(
            "unpublished_rows",
            "Rows that a kind's `publish` switch kept from live readers",
            "venue",
            "kind",
        )
        self.entered = make.count(
            "entered_rows",
            "Rows of the past that a backfill, a restore or a repair entered",
            "venue",
            "kind",
        )
        self.feed_up = make.gauge("feed_up", "1 while the channel delivers", "venue", "channel")
        self.feed_downs = make.count("feed_downs", "Times a channel went away", "venue", "channel")
        self.feed_retries = make.count(
            "feed_retries", "Connection attempts after a failure", "venue"
        )
        self.line_events = make.count(
            "line_events",
            "What one line of a channel brought or did, by its word",
            "venue",
            "channel",
            "line",
            "word",
        )
        self.watermark = make.gauge(
            "watermark_seconds",
            "Newest event time seen, seconds since 1970 UTC",
            "venue",
            "channel",
        )

    def _journal(self, make: _Maker) -> None:
        self.journal_bytes = make.count("journal_bytes", "Bytes appended to the journal", "venue")
        self.journal_unsynced = make.gauge(
            "journal_unsynced_bytes", "Bytes appended to the journal and not synced yet", "venue"
        )
        self.journal_sync = make.spread(
            "journal_sync_seconds", "Seconds that one sync of the journal took", "venue"
        )
        self.journal_refusing = make.gauge(
            "journal_refusing", "1 while the journal takes nothing and feeds wait", "venue"
        )
        self.journal_errors = make.count("journal_errors", "Appends or syncs that failed", "venue")
        self.journal_damaged = make.count(
            "journal_damaged", "Journal records with a bad checksum", "venue"
        )
        self.journal_healed = make.count(
            "journal_healed", "Bad places of compressed segments that parity made good", "venue"
        )
        self.journal_retired = make.count(
            "journal_retired_bytes", "Bytes of journal segments that were dropped", "venue"
        )
        self.journal_disk = make.gauge(
            "journal_disk_bytes", "Bytes on disk that the journal takes", "venue"
        )
        self.checkpoint_s = make.spread(
            "checkpoint_seconds", "Seconds to save one checkpoint", "venue"
        )
        self.checkpoint_copy_s = make.spread(
            "checkpoint_copy_seconds",
            "Seconds that taking in waits while the state of one checkpoint is copied",
            "venue",
        )
        self.checkpoint_errors = make.count(
            "checkpoint_errors", "Checkpoints that could not be saved", "venue"
        )
        self.checkpoints_bad = make.count(
            "checkpoints_passed_over", "Checkpoints that a start could not use", "venue"
        )

        self.topic_rows = make.gauge(
            "topic_rows", "Rows that topics hold in memory for their readers", "venue"
        )
        self.topic_bytes = make.gauge(
            "topic_bytes", "Bytes that topics hold in memory for their readers", "venue"
        )
        self.topic_lag = make.gauge(
            "topic_lag_bytes", "Journal bytes a reader is behind", "venue", "group"
        )
        self.topic_evicted = make.gauge(
            "topic_evicted_rows",
            "Rows a reader missed in memory and derives again",
            "venue",
            "group",
        )
        self.topic_redelivered = make.gauge(
            "topic_redelivered", "Batches that a reader was given again", "venue", "group"
        )

    def _store(self, make: _Maker) -> None:
        self.store_rows = make.count("store_rows", "Rows committed to the store", "venue", "kind")
        self.store_write = make.spread(
            "store_write_seconds", "Seconds that one transaction of the store took", "venue"
        )
        self.store_retries = make.count(
            "store_retries", "Writes to the store that were tried again", "venue"
        )
        self.store_dropped = make.count(
            "store_retired_rows", "Rows that retention removed from the hot store", "venue", "kind"
        )
        self.store_slow = make.count(
            "store_slow", "Reads of the store that took over 5 s, by class", "class"
        )
        self.store_timeout = make.count(
            "store_timeout", "Reads of the store that were ended at their class's limit", "class"
        )
        self.store_set_aside = make.count("store_set_aside", "Store files that refused to open")
        self.store_buffer_rows = make.gauge(
            "store_buffer_rows", "Rows of the fullest table that wait for the store", "venue"
        )
        self.store_buffer_bytes = make.gauge(
            "store_buffer_bytes", "Bytes of all rows that wait for the store", "venue"
        )
        self.store_paused = make.gauge(
            "store_paused_seconds",
            "How long the reader of the store is paused, its buffer being full; past 600 an error",
            "venue",
        )
        self.store_breaker = make.gauge(
            "store_breaker", "Circuit breaker: 0 closed, 1 half open, 2 open", "venue"
        )
        self.dead_letters = make.count(
            "dead_letters", "Rows that a healthy store refused: dead letters", "venue", "kind"
        )

        self.live_compared = make.count(
            "live_compared_rows",
            "Rows as live readers see them that were compared with the stored ones",
            "venue",
            "kind",
        )
        self.live_mismatched = make.count(
            "live_mismatched_rows",
            "Rows of those compared that are not stored as they are shown",
            "venue",
            "kind",
        )

    def _jobs(self, make: _Maker) -> None:
        self.job_runs = make.count(
            "job_runs", "Jobs that ended, by what became of them", "venue", "job", "outcome"
        )
        self.job_running = make.gauge("job_running", "1 while a job is under way", "venue", "job")
        self.job_late = make.count(
            "job_late", "Scheduled jobs that began later than they should", "venue", "job"
        )
        self.job_long = make.count(
            "job_long", "Scheduled jobs that took longer than they should", "venue", "job"
        )
        self.drain_days = make.count(
            "drain_days", "Days of a kind that a drain looked at, by outcome",
            "venue", "kind", "outcome",
        )  # fmt: skip
        self.drain_rows = make.count("drain_rows", "Rows written to cold files", "venue", "kind")
        self.cold_bytes = make.gauge(
            "cold_bytes", "Bytes of the cold files that count", "venue", "kind"
        )
        self.cold_days = make.gauge("cold_days", "Days that have a cold file", "venue", "kind")
        self.cold_dropped = make.count(
            "cold_dropped_bytes", "Bytes of cold days deleted under the disk's cap", "venue", "kind"
        )
        self.retention_held = make.gauge(
            "retention_held_days",
            "Days past retention that stay hot, since no cold file is proven to hold them",
            "venue",
            "kind",
        )

    def _surfaces(self, make: _Maker) -> None:
        self.http_requests = make.count(
            "http_requests", "HTTP requests answered", "route", "status"
        )
        self.http_seconds = make.spread(
            "http_seconds", "Seconds to answer an HTTP request", "route"
        )
        self.answers = make.count(
            "answers",
            "Answers of a ticker's newest bars, by what became of the question",
            "view",
            "how",
        )
        self.answers_bytes = make.gauge(
            "answers_bytes", "Bytes of such answers that are kept, by who may use them", "of"
        )
        self.refused = make.count(
            "refused", "Requests and stream messages refused, by code", "code"
        )
        self.turned_away = make.count(
            "http_turned_away",
            "Connections that were ended before anybody looked at what they ask",
            "why",
        )
        self.limits_local = make.count(
            "limits_local", "Requests judged by half their rate, the limits' server being away"
        )
        self.limits_away = make.gauge("limits_away", "1 while the server of the limits is away")
        self.usage_lost = make.count(
            "usage_lost", "Answers that no sum of usage counted, too many waiting for the database"
        )
        self.audit_waiting = make.gauge(
            "audit_waiting_bytes", "Bytes of the audit's file that are not in the database yet"
        )
        self.audit_torn = make.count(
            "audit_torn", "Torn lines of the audit's file that were set aside"
        )
        self.audit_lost = make.count(
            "audit_lost", "Audit records that neither file nor memory could take"
        )
        self.clients = make.gauge("stream_clients", "Connected stream clients")
        self.stream_frames = make.count("stream_frames", "Stream frames sent, by type", "type")
        self.stream_conflated = make.count(
            "stream_conflated", "Partial bars left out for slow clients"
        )
        self.stream_anew = make.count(
            "stream_begun_anew", "Times the stream lost entries and closed all its clients"
        )
        self.stream_closed = make.count("stream_closed", "Clients closed because they were slow")
        self.stream_queue = make.gauge("stream_queue", "Batches waiting for the stream")
        self.rings_bytes = make.gauge("rings_bytes", "Bytes of memory that the rings take", "venue")
        self.rings_evicted = make.gauge(
            "rings_evicted", "Tickers whose rings had to leave memory", "venue"
        )
        self.kernels_warm = make.gauge(
            "kernels_warm_seconds", "Seconds to compile or load the kernels at the start"
        )
        self.mail = make.count("mail", "Letters to users, by what became of them", "outcome")
        self.mail_waiting = make.gauge("mail_waiting", "Letters that wait for the mail server")
        self.disk_bytes = make.gauge("data_bytes", "Bytes that the data folder takes on disk")

    def _accounts(self, make: _Maker) -> None:
        self.accounts_watched = make.gauge(
            "accounts_watched", "1 while changes of accounts are heard of"
        )
        self.accounts_age = make.gauge(
            "accounts_age_seconds", "Seconds since all changes of accounts were known"
        )
        self.accounts_lost = make.count(
            "accounts_lost", "Times the database of accounts was lost from sight"
        )
        self.account_jobs_failed = make.count(
            "account_jobs_failed", "Regular jobs of accounts that are to be tried again", "job"
        )

    def names(self) -> list[Name]:
        """All that is counted, by name; a counter's bears the `_total` of the exposition."""
        found = []
        for metric in vars(self).values():
            if isinstance(metric, Counter | Gauge | Histogram):
                about = next(iter(metric.describe()))
                suffix = "_total" if isinstance(metric, Counter) else ""
                labels = tuple(metric._labelnames)
                found.append(Name(about.name + suffix, about.type, labels, about.documentation))
        return sorted(found)

    def begin(self, venue: str, channels: Sequence[str]) -> None:
        """Show a venue's counters from the start, at zero, and not only once they have counted."""
        for metric in vars(self).values():
            names = getattr(metric, "_labelnames", ())
            if names == ("venue",):
                metric.labels(venue)
            elif names == ("venue", "channel"):
                for channel in channels:
                    metric.labels(venue, channel)

    @staticmethod
    def total(counter: Counter) -> int:
        """What a counter has counted, all labels together."""
        samples = [sample for metric in counter.collect() for sample in metric.samples]
        return round(sum(s.value for s in samples if s.name.endswith("_total")))

    def serve(self, port: int) -> tuple[int, Callable[[], None]]:
        """Answer `127.0.0.1:port/metrics`; 0 takes a free port. Returns the port and a stop. Who
        asks by another name than this machine's own gets 421: a proxy that leads there by
        mistake, or a page of the net through a name that resolves here. Raises OSError where the
        port is taken."""
        server, thread = start_http_server(port, "127.0.0.1", self.registry)
        answer: Any = server.get_app()

        def guarded(environ: Any, start: Any) -> Iterable[bytes]:
            if _OWN_NAME.fullmatch(environ.get("HTTP_HOST", "").lower()):
                found: Iterable[bytes] = answer(environ, start)
                return found
            start("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"telemetry answers to 127.0.0.1 and localhost alone\n"]

        server.set_app(guarded)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(2)

        return int(server.server_port), stop
