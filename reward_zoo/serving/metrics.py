"""What a reward server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server; `waiting` tells how many requests are accepted and not answered."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        by = {"labelnames": ["reward"], "registry": self.registry}
        self.requests = Counter("lasro_requests", "Requests to /score.", ["reward", "status"], registry=self.registry)
        self.images = Counter("lasro_images", "Images that were asked about.", **by)
        self.failed = Counter("lasro_failed_images", "Images that got no score.", **by)
        self.seconds = Histogram("lasro_request_seconds", "From a request's arrival to its answer.", buckets=SECONDS, **by)
        self.waited = Histogram(
            "lasro_waited_seconds", "From a question's arrival to the reward's call.", buckets=SECONDS, **by
        )
        self.batches = Histogram("lasro_batch_images", "Images of one call of the reward.", buckets=IMAGES, **by)
        gauge = Gauge("lasro_waiting_requests", "Requests accepted and not answered yet.", registry=self.registry)
        gauge.set_function(waiting)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)
