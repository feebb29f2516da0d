"""What the collector tells Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from assay.collector.backlog import BacklogWatch
from assay.collector.policies import PolicyWatch

# Acknowledgement is meant to take 5 to 25 ms.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one application."""

    def __init__(self, backlog: BacklogWatch, policies: PolicyWatch) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "assay_collector_records",
            "Records received: accepted into the queue, rejected, or ignored (spans that are no model calls)",
            ("kind", "source", "result"),
            registry=self.registry,
        )
        self.requests = Histogram(
            "assay_collector_request_seconds",
            "Time from the request's head to the answer",
            ("route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.denied = Counter(
            "assay_collector_denied",
            "Requests refused for their key (401, 403, 503 while keys cannot be read) or its rate (429)",
            ("route", "status"),
            registry=self.registry,
        )
        self.bytes = Counter(
            "assay_collector_body_bytes",
            "Bytes of request bodies as sent",
            ("route",),
            registry=self.registry,
        )
        self.registry.register(_State(backlog, policies))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def count(
        self, kind: str, source: str, *, accepted: int = 0, rejected: int = 0, ignored: int = 0
    ) -> None:
        """Count the records of a request that was answered."""
        for result, number in (("accepted", accepted), ("rejected", rejected), ("ignored", ignored)):
            if number:
                self.records.labels(kind, source, result).inc(number)


class _State(Collector):
    """The queue and the capture policies, as they were last seen. Unknown figures are absent, not zero."""

    def __init__(self, backlog: BacklogWatch, policies: PolicyWatch) -> None:
        self._backlog = backlog
        self._policies = policies

    def collect(self) -> Iterator[Metric]:
        found = self._backlog.current
        yield GaugeMetricFamily(
            "assay_queue_up", "Whether the queue could be reached", value=0.0 if found.error else 1.0
        )
        if not found.error:
            yield GaugeMetricFamily("assay_queue_entries", "Batches in the stream", value=found.entries)
            yield GaugeMetricFamily("assay_queue_pending", "Batches read and not stored", value=found.pending)
            if found.lag is not None:
                yield GaugeMetricFamily("assay_queue_lag", "Batches that no writer has read", value=found.lag)
            yield GaugeMetricFamily(
                "assay_queue_oldest_age_seconds",
                "Age of the oldest batch that is not stored; 0 when all are",
                value=found.oldest_s or 0.0,
            )
        if self._policies.read_at is not None:
            yield GaugeMetricFamily(
                "assay_capture_policies_age_seconds",
                "Time since the capture policies were read",
                value=time.monotonic() - self._policies.read_at,
            )
