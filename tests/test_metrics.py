import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.errors import ConfigError, PortTaken
from bot.jobs.events import (
    Events,
    JobEnded,
    JobProgressed,
    JobQueued,
    JobRefused,
    JobStarted,
    JobTold,
    QueueMoved,
)
from bot.jobs.job import Job, Status
from bot.metrics import Metrics
from pipelines.contract.context import Phase, Progress
from pipelines.contract.requests import ImagineRequest


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def metrics(events: Events) -> Iterator[Metrics]:
    metrics = Metrics(events)
    yield metrics
    metrics.stop()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"atelier_{name}", labels)


def a_job(id_: str = "1") -> Job:
    request = ImagineRequest(prompt="a fox", seed=1)
    return Job(id=id_, owner=1, request=request, origin={}, queued_at=100.0)


def started(job: Job, after: float = 4.0, attempt: int = 1) -> Job:
    return replace(job, status=Status.RUNNING, attempt=attempt, started_at=job.queued_at + after)


def test_a_jobs_whole_life(events: Events, metrics: Metrics) -> None:
    job = a_job()
    events.publish(JobQueued(job))
    events.publish(QueueMoved())
    assert (value(metrics, "waiting"), value(metrics, "running")) == (1, 0)

    running = started(job)
    events.publish(JobStarted(running))
    assert (value(metrics, "waiting"), value(metrics, "running")) == (0, 1)
    assert value(metrics, "wait_seconds_sum", kind="imagine") == 4.0
    assert value(metrics, "wait_seconds_bucket", kind="imagine", le="5.0") == 1
    assert value(metrics, "wait_seconds_bucket", kind="imagine", le="2.0") == 0

    rendered = replace(running, status=Status.RENDERED, gpu_seconds=7.5)
    events.publish(JobEnded(rendered))
    assert (value(metrics, "waiting"), value(metrics, "running")) == (0, 0)
    assert value(metrics, "jobs_total", kind="imagine", end="rendered") == 1
    assert value(metrics, "gpu_seconds_sum", kind="imagine") == 7.5

    events.publish(JobTold(replace(rendered, status=Status.DELIVERED, told=True)))
    assert value(metrics, "deliveries_total", outcome="delivered") == 1


def test_every_step_is_counted_though_reports_are_left_out(
    events: Events, metrics: Metrics
) -> None:
    job = started(a_job())
    events.publish(JobStarted(job))
    for step in (1, 2, 7, 7, 10):
        events.publish(JobProgressed(job, Progress(Phase.PAINTING, step, 10)))
    for step in (3, 5):
        events.publish(JobProgressed(job, Progress(Phase.ANIMATING, step, 5)))
    events.publish(JobEnded(replace(job, status=Status.RENDERED)))
    assert value(metrics, "steps_total", kind="imagine", phase="painting") == 10
    assert value(metrics, "steps_total", kind="imagine", phase="animating") == 5


def test_cancelled_while_waiting(events: Events, metrics: Metrics) -> None:
    events.publish(JobQueued(a_job()))
    events.publish(JobQueued(a_job("2")))
    events.publish(JobEnded(replace(a_job(), status=Status.CANCELLED)))
    assert value(metrics, "waiting") == 1
    assert value(metrics, "jobs_total", kind="imagine", end="cancelled") == 1
    assert value(metrics, "gpu_seconds_count", kind="imagine") == 0


def test_failures_and_refusals_by_code(events: Events, metrics: Metrics) -> None:
    failed = replace(started(a_job()), status=Status.FAILED, error_code="out_of_memory")
    events.publish(JobEnded(failed))
    events.publish(JobEnded(replace(failed, status=Status.QUARANTINED, error_code=None)))
    events.publish(JobRefused(1, "queue_full"))
    assert value(metrics, "failures_total", code="out_of_memory") == 1
    assert value(metrics, "failures_total", code="quarantined") == 1
    assert value(metrics, "refusals_total", code="queue_full") == 1


def test_what_became_of_the_telling(events: Events, metrics: Metrics) -> None:
    job = started(a_job())
    events.publish(JobTold(replace(job, status=Status.RENDERED, error_code="undeliverable")))
    events.publish(JobTold(replace(job, status=Status.FAILED, error_code="out_of_memory")))
    assert value(metrics, "deliveries_total", outcome="undeliverable") == 1
    assert value(metrics, "deliveries_total", outcome="told") == 1


def test_a_second_attempt_is_not_a_second_wait(events: Events, metrics: Metrics) -> None:
    events.publish(JobStarted(started(a_job(), after=900, attempt=2)))
    assert value(metrics, "wait_seconds_count", kind="imagine") == 0


def test_every_kind_and_end_is_there_from_the_start(metrics: Metrics) -> None:
    for kind in ("sketch", "imagine", "animate"):
        for end in ("rendered", "failed", "cancelled", "quarantined"):
            assert value(metrics, "jobs_total", kind=kind, end=end) == 0


def test_prometheus_can_read_it(events: Events, metrics: Metrics) -> None:
    port = metrics.serve("127.0.0.1", 0)
    events.publish(JobQueued(a_job()))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "atelier_waiting 1.0\n" in text
    assert "process_resident_memory_bytes" in text


def test_a_stopped_server_frees_its_port(metrics: Metrics) -> None:
    port = metrics.serve("127.0.0.1", 0)
    metrics.stop()
    metrics.stop()
    assert metrics.serve("127.0.0.1", port) == port


def test_a_taken_port_is_said_so(metrics: Metrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"another program uses 127\.0\.0\.1:{port}"):
            metrics.serve("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_somebody_else_is_said_so(metrics: Metrics, host: str) -> None:
    with pytest.raises(ConfigError, match=r"Correct metrics\.host"):
        metrics.serve(host, 9)


def test_two_bots_in_one_process_do_not_share_counts(events: Events, metrics: Metrics) -> None:
    other_events = Events()
    other = Metrics(other_events)
    other_events.publish(JobQueued(a_job()))
    assert (value(metrics, "waiting"), value(other, "waiting")) == (0, 1)
