import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from bot.jobs.progress import LEAD, Look, Meter
from pipelines.contract.context import Phase, Progress


def _on_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


async def test_what_piles_up_arrives_as_the_latest() -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append, Look())
    steps = [Progress(Phase.PAINTING, step, 50) for step in range(1, 51)]

    def run() -> None:
        for step in steps:
            meter.report(step)

    _on_a_thread(run)
    assert heard == []
    await asyncio.sleep(0)
    assert heard == [steps[-1]]
    _on_a_thread(lambda: meter.report(steps[0]))
    await asyncio.sleep(0)
    assert heard == [steps[-1], steps[0]]


async def test_it_is_published_on_the_loop() -> None:
    threads: list[str] = []
    meter = Meter(lambda _: threads.append(threading.current_thread().name), Look())
    _on_a_thread(lambda: meter.report(Progress(Phase.PAINTING)))
    await asyncio.sleep(0)
    assert threads == [threading.main_thread().name]


def test_a_closed_loop_disturbs_no_run() -> None:
    async def make() -> Meter:
        return Meter(lambda _: None, Look())

    asyncio.run(make()).report(Progress(Phase.PAINTING))


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock: what is in it is what it shows."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


async def test_a_preview_is_wanted_shortly_before_somebody_looks(seconds: list[float]) -> None:
    look = Look()
    meter = Meter(lambda _: None, look)
    assert not meter.wants()
    look.expect(50.0)
    seconds[0] = 50.0 - LEAD - 0.1
    assert not meter.wants()
    seconds[0] = 50.0 - LEAD
    assert meter.wants()
    meter.show(b"half a picture")
    seconds[0] = 60.0
    assert not meter.wants()  # until it is said when the next look is
    look.expect(62.0)
    seconds[0] = 61.5
    assert meter.wants()


async def test_a_preview_goes_with_every_report_until_it_is_taken_back() -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append, Look())
    for step, preview in enumerate([None, b"one", b"two", None]):
        meter.show(preview)
        meter.report(Progress(Phase.PAINTING, step, 4))
        await asyncio.sleep(0)
    assert [progress.preview for progress in heard] == [None, b"one", b"two", None]


async def test_waiting_and_loading_are_not_counted(seconds: list[float]) -> None:
    meter = Meter(lambda _: None, Look())
    seconds[0] = 95.0
    meter.begin()
    for now, phase in [
        (100.0, Phase.LOADING),
        (160.0, Phase.CAPTIONING),
        (161.0, Phase.LOADING),
        (200.0, Phase.PAINTING),
        (204.0, Phase.PAINTING),
        (208.0, Phase.ENCODING),
    ]:
        seconds[0] = now
        meter.report(Progress(phase))
    seconds[0] = 209.5
    assert meter.gpu_seconds() == 5.0 + 1.0 + 9.5


async def test_a_run_that_reports_nothing_counts_from_its_beginning(seconds: list[float]) -> None:
    seconds[0] = 100.0
    meter = Meter(lambda _: None, Look())
    seconds[0] = 160.0
    assert meter.gpu_seconds() == 0.0
    meter.begin()
    seconds[0] = 163.0
    assert meter.gpu_seconds() == 3.0
