"""What Prometheus reads of the service itself."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Of what :func:`render` makes."""

BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Metrics:
    """Counts of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "autorag_http_requests",
            "Requests answered; 499: the client left before",
            ("method", "route", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "autorag_http_request_seconds",
            "Seconds from a request's headers to the end of its answer, long polls' waits left out",
            ("route",),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "autorag_http_in_flight",
            "Requests being answered, long polls included",
            registry=registry,
        )
        self.long_polls = Gauge("autorag_long_polls", "Long polls that wait", registry=registry)
        self.refused = Counter(
            "autorag_http_refused",
            "Requests turned away before their route",
            ("reason",),
            registry=registry,
        )
        self.writes_waiting = Gauge(
            "autorag_writes_waiting",
            "Writes that wait for the writer of a database",
            ("database",),
            registry=registry,
        )
        self.jobs = Gauge("autorag_jobs", "Jobs by state", ("state",), registry=registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)


def render(metrics: Metrics) -> bytes:
    """All of them, as text of type :data:`CONTENT_TYPE`."""
    return generate_latest(metrics.registry)
