"""How long the first result took, as told to metrics and to doctor."""

import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bot.config import StorageConfig
from bot.doctor import check_last_start
from bot.jobs.events import Event, Events, FirstResult, JobEnded
from bot.jobs.job import Job, Status
from bot.metrics import Metrics
from bot.startup import FirstWait, StartWatch
from pipelines.contract.requests import ImagineRequest, Kind

BEGAN = psutil.Process().create_time()
JOB = Job(
    id="1",
    owner=1,
    request=ImagineRequest(prompt="a fox", seed=1),
    origin={},
    queued_at=BEGAN - 3600,  # it waited while the bot was away
    status=Status.RENDERED,
)


@pytest.fixture
def events() -> Events:
    return Events()


def told(events: Events) -> list[Event]:
    heard: list[Event] = []
    events.subscribe(lambda event: heard.append(event) if isinstance(event, FirstResult) else None)
    return heard


async def test_a_job_that_waited_counts_from_the_start(events: Events, tmp_path: Path) -> None:
    watch, heard = StartWatch(events, tmp_path, now=lambda: BEGAN + 40), told(events)
    events.publish(JobEnded(replace(JOB, status=Status.FAILED)))
    assert not heard
    events.publish(JobEnded(JOB))
    events.publish(JobEnded(JOB))
    assert heard == [FirstResult(40.0)]
    await watch.stop()
    assert FirstWait.read(tmp_path) == FirstWait(40.0, Kind.IMAGINE, BEGAN + 40)


async def test_one_that_came_later_counts_from_when_it_came(events: Events, tmp_path: Path) -> None:
    watch, heard = StartWatch(events, tmp_path, now=lambda: BEGAN + 90), told(events)
    metrics = Metrics(events)
    events.publish(JobEnded(replace(JOB, queued_at=BEGAN + 80)))
    assert heard == [FirstResult(10.0)]
    assert metrics.registry.get_sample_value("atelier_first_result_seconds") == 10.0
    await watch.stop()


async def test_a_folder_that_cannot_be_written_is_no_failure(
    events: Events, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = StartWatch(events, tmp_path / "gone")
    events.publish(JobEnded(JOB))
    await watch.stop()
    assert "cannot be kept" in caplog.text


def test_doctor_says_it(tmp_path: Path) -> None:
    storage = StorageConfig(folder=tmp_path)
    assert not list(check_last_start(storage))
    (tmp_path / "first-result.json").write_text("{}")
    assert not list(check_last_start(storage))
    FirstWait(41.7, Kind.SKETCH, time.time()).write(tmp_path)
    (finding,) = check_last_start(storage)
    assert finding.text.startswith("the first result, of /sketch, came after 42 s (20")
