"""What the service itself answers: how many requests, what they took, and what the process takes."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metapulse_assets.service.metrics.families import NAMESPACE

# Upper bounds of ranges of durations, s. Own choice: a cached page takes 1 ms, one that waits for the database 2 s.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Whatever somebody thinks up, the number of label values stays small.
NO_PAGE, OTHER_METHOD = "(no such page)", "other"


class RequestMetrics:
    """The figures of one application."""

    def __init__(self) -> None:
        """All are 0."""
        # When each count began is of no use to anybody, and is half of the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=NAMESPACE, registry=self.registry)
        self.answered = Counter(
            "http_requests", "Requests that were answered.", ("method", "route", "status"), NAMESPACE, registry=self.registry
        )
        self.took = Histogram(
            "http_request_duration_seconds",
            "From a request's first byte here to the end of its answer.",
            ("method", "route"),
            NAMESPACE,
            buckets=BOUNDS,
            registry=self.registry,
        )
        self.under_way = Gauge(
            "http_requests_in_progress", "Requests that are not answered yet.", (), NAMESPACE, registry=self.registry
        )


class RequestMetricsMiddleware:
    """ASGI middleware that counts. To be put outside of everything that answers."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        """`metrics`: where to count."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.under_way.track_inprogress():
            try:
                await self._app(scope, receive, note_status)
            finally:
                method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
                route = getattr(scope.get("route"), "path", None) or NO_PAGE
                self._metrics.answered.labels(method, route, str(status)).inc()
                self._metrics.took.labels(method, route).observe(time.perf_counter() - begun)
