"""Prometheus metrics. Only listens to the jobs' events: nobody calls it."""

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from bot.errors import cannot_listen
from bot.jobs.events import (
    Event,
    Events,
    FirstResult,
    JobEnded,
    JobProgressed,
    JobQueued,
    JobRefused,
    JobStarted,
    JobTold,
)
from bot.jobs.job import Job, Status
from pipelines.contract.context import Phase, Progress
from pipelines.contract.requests import Kind

ENDS = (Status.RENDERED, Status.FAILED, Status.CANCELLED, Status.QUARANTINED)
WAITS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)  # seconds
RUNS = (0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320)


class Metrics:
    """Counts what happens to jobs, in a registry of its own."""

    def __init__(self, events: Events) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._make_meters()
        self._waiting: set[str] = set()
        self._running: set[str] = set()
        self._last_step: dict[str, tuple[Phase, int]] = {}
        self._server: tuple[WSGIServer, Thread] | None = None
        events.subscribe(self._on_event)

    def serve(self, host: str, port: int) -> int:
        """Answer Prometheus from a thread until `stop`; returns the port, chosen where 0 is given.

        Raises PortTaken, or ConfigError for an address that this machine does not have.
        """
        try:
            self._server = start_http_server(port, host, self.registry)
        except OSError as error:
            raise cannot_listen("metrics", host, port, error) from error
        return self._server[0].server_port

    def stop(self) -> None:
        """End `serve`, if it was called."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None

    def _make_meters(self) -> None:
        count, spread = self._counter, self._histogram
        self._jobs = count("jobs", "Jobs that ended, by kind and how", "kind", "end")
        self._refusals = count("refusals", "Requests that were refused, by why", "code")
        self._failures = count("failures", "Jobs that ended with an error", "code")
        self._deliveries = count("deliveries", "Jobs whose owner was reached, or not", "outcome")
        self._steps = count("steps", "Denoising steps", "kind", "phase")
        self._waits = spread("wait_seconds", "From queued to the first start", WAITS)
        self._runs = spread("gpu_seconds", "GPU time of a job that ended", RUNS)
        self._length = Gauge("atelier_waiting", "Jobs that wait", registry=self.registry)
        self._busy = Gauge("atelier_running", "Jobs on the GPU", registry=self.registry)
        self._first = Gauge(
            "atelier_first_result_seconds",
            "From the start, or from when the first job came, to the first result",
            registry=self.registry,
        )
        for kind in Kind:
            for end in ENDS:
                self._jobs.labels(kind, end)
            self._waits.labels(kind)
            self._runs.labels(kind)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"atelier_{name}", help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"atelier_{name}", help_, ["kind"], buckets=buckets, registry=self.registry
        )

    def _on_event(self, event: Event) -> None:
        match event:
            case JobQueued(job):
                self._waiting.add(job.id)
                self._running.discard(job.id)
            case JobRefused(code=code):
                self._refusals.labels(code).inc()
            case JobStarted(job):
                self._on_start(job)
            case JobProgressed(job, progress):
                self._on_progress(job, progress)
            case JobEnded(job):
                self._on_end(job)
            case JobTold(job):
                self._deliveries.labels(_outcome(job)).inc()
            case FirstResult(seconds):
                self._first.set(seconds)
        self._length.set(len(self._waiting))
        self._busy.set(len(self._running))

    def _on_start(self, job: Job) -> None:
        self._waiting.discard(job.id)
        self._running.add(job.id)
        if job.attempt == 1 and job.started_at is not None:
            self._waits.labels(job.kind).observe(max(job.started_at - job.queued_at, 0.0))

    def _on_progress(self, job: Job, progress: Progress) -> None:
        """Count steps by what lies between two reports, since not every step is reported."""
        phase, step = self._last_step.get(job.id, (progress.phase, 0))
        done = progress.step - (step if phase == progress.phase else 0)
        if done > 0:
            self._steps.labels(job.kind, progress.phase).inc(done)
        self._last_step[job.id] = (progress.phase, progress.step)

    def _on_end(self, job: Job) -> None:
        self._waiting.discard(job.id)
        self._running.discard(job.id)
        self._last_step.pop(job.id, None)
        self._jobs.labels(job.kind, job.status).inc()
        if job.gpu_seconds > 0:
            self._runs.labels(job.kind).observe(job.gpu_seconds)
        if job.status in (Status.FAILED, Status.QUARANTINED):
            self._failures.labels(job.error_code or job.status).inc()


def _outcome(job: Job) -> str:
    """`delivered`, `told` of an end without a result, or why neither could be."""
    if job.status is Status.DELIVERED:
        return "delivered"
    if job.status is Status.RENDERED:
        return job.error_code or "undeliverable"
    return "told"
