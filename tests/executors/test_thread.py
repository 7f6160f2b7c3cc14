import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from bot.executors.thread import ThreadExecutor
from pipelines.contract.context import Progress, RunContext
from pipelines.contract.errors import BadInput, Cancelled, CardLost, ModelMissing, RenderFailed
from tests.jobs.studio import SOON, Gate, Painter, a_request, heard

Start = Callable[..., ThreadExecutor]


@pytest.fixture
async def started() -> AsyncIterator[Start]:
    """Makes executors and stops them in the end."""
    executors: list[ThreadExecutor] = []

    def start(*args: object, **options: bool) -> ThreadExecutor:
        executor = ThreadExecutor(*args, **options)  # type: ignore[arg-type]
        executors.append(executor)
        return executor

    yield start
    for executor in executors:
        await executor.stop()


async def _run(executor: ThreadExecutor, prompt: str = "a fox") -> int:
    """Run one request; the number of its pictures."""
    ((pictures,),) = [await asyncio.wait_for(executor.run([a_request(prompt)], RunContext()), SOON)]
    return len(pictures)


async def test_everything_happens_on_one_thread_with_a_name(started: Start) -> None:
    painter = Painter()
    executor = started(lambda: painter, preload=True)
    await executor.start()
    assert await _run(executor) == await _run(executor) == 1
    await executor.stop()
    assert painter.threads - {threading.current_thread().name} == {"gpu"}
    assert painter.closed
    assert "gpu" not in {t.name for t in threading.enumerate()}


async def test_the_runner_is_built_where_it_is_used(started: Start) -> None:
    built: list[str] = []

    def build() -> Painter:
        built.append(threading.current_thread().name)
        return Painter()

    executor = started(build)
    await executor.start()
    await _run(executor)
    await _run(executor)
    assert built == ["gpu"]


async def test_starting_does_not_wait_for_the_models(started: Start) -> None:
    may_build = threading.Event()

    def build() -> Painter:
        assert may_build.wait(SOON)
        return Painter()

    executor = started(build)
    await asyncio.wait_for(executor.start(), 1.0)
    waiting = asyncio.create_task(_run(executor))
    assert executor.resident() == frozenset()
    may_build.set()
    assert await waiting == 1
    assert executor.resident() == {"imagine"}


class SlowLoader(Painter):
    """Says when a model is being loaded, and loads it when it is let."""

    def __init__(self, **scripts: Callable[[RunContext], None]) -> None:
        super().__init__(**scripts)
        self._loop = asyncio.get_running_loop()
        self.loading = asyncio.Event()
        self.may_load = threading.Event()

    def preload(self) -> bool:
        self._loop.call_soon_threadsafe(self.loading.set)
        assert self.may_load.wait(SOON)
        return super().preload()


async def test_a_job_waits_for_one_model_to_be_loaded_and_not_for_all(started: Start) -> None:
    unloaded: list[int] = []
    painter = SlowLoader(now=lambda _: unloaded.append(painter.unloaded))
    executor = started(lambda: painter, preload=True)
    await executor.start()
    await asyncio.wait_for(painter.loading.wait(), SOON)
    run = asyncio.create_task(executor.run([a_request("now")], RunContext()))
    await asyncio.sleep(0)  # by now it is ordered, as it would not be within a `wait_for`
    painter.may_load.set()
    await asyncio.wait_for(run, SOON)
    assert unloaded == [2]


async def test_the_end_waits_for_one_model_to_be_loaded_and_not_for_all(started: Start) -> None:
    painter = SlowLoader()
    executor = started(lambda: painter, preload=True)
    await executor.start()
    await asyncio.wait_for(painter.loading.wait(), SOON)
    stop = asyncio.create_task(executor.stop())
    await asyncio.sleep(0)
    painter.may_load.set()
    await stop
    assert painter.unloaded == 2


async def test_progress_is_reported_from_the_gpu_thread(started: Start) -> None:
    heard: list[tuple[str, Progress]] = []
    executor = started(Painter)
    await executor.start()
    context = RunContext(lambda p: heard.append((threading.current_thread().name, p)))
    await executor.run([a_request()], context)
    assert [(name, p.step) for name, p in heard] == [("gpu", 1), ("gpu", 2), ("gpu", 3)]


async def test_a_run_can_be_cancelled(started: Start) -> None:
    gate = Gate()
    executor = started(lambda: Painter(gate=gate))
    await executor.start()
    context = RunContext()
    run = asyncio.create_task(executor.run([a_request("gate")], context))
    await gate.wait()
    context.cancel.set()
    with pytest.raises(Cancelled):
        await asyncio.wait_for(run, SOON)
    assert await _run(executor) == 1


async def test_a_run_begins_when_the_card_is_at_it_and_not_if_it_was_cancelled_meanwhile(
    started: Start,
) -> None:
    painter = SlowLoader()
    executor = started(lambda: painter, preload=True)
    await executor.start()
    await asyncio.wait_for(painter.loading.wait(), SOON)
    begun: list[str] = []
    cancelled, wanted = (
        RunContext(on_begin=partial(begun.append, name)) for name in ("cancelled", "wanted")
    )
    runs = [asyncio.create_task(executor.run([a_request()], each)) for each in (cancelled, wanted)]
    await asyncio.sleep(0)
    assert begun == []
    cancelled.cancel.set()
    painter.may_load.set()
    with pytest.raises(Cancelled):
        await asyncio.wait_for(runs[0], SOON)
    await asyncio.wait_for(runs[1], SOON)
    assert (begun, painter.painted) == (["wanted"], ["a fox"])


async def test_a_failed_build_fails_the_job_and_is_tried_again_for_the_next(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [
        ModelMissing("The models are not here yet. Run: python -m bot fetch"),
        ModelMissing("The models are not here yet. Run: python -m bot fetch"),
        ImportError("libcudart.so.13: cannot open shared object file"),
    ]

    def build() -> Painter:
        if failures:
            raise failures.pop(0)
        return Painter()

    executor = started(build, preload=True)
    await executor.start()
    with pytest.raises(ModelMissing, match="python -m bot fetch"):
        await _run(executor)
    with pytest.raises(RenderFailed, match="cannot use its GPU at the moment"):
        await _run(executor)
    assert "libcudart" in caplog.text
    assert not executor.usable() and not executor.ready()
    assert await _run(executor) == 1
    assert executor.usable() and executor.ready()


@pytest.mark.parametrize("flaw", ["preload", "resident"])
async def test_a_runner_with_a_flaw_hangs_nobody(
    started: Start, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    painter = Painter()

    def broken() -> None:
        monkeypatch.undo()
        raise OSError("the card fell off the bus")

    monkeypatch.setattr(painter, flaw, broken)
    executor = started(lambda: painter, preload=True)
    with heard("the card fell off the bus") as logged:
        await executor.start()
        await asyncio.wait_for(logged.wait(), SOON)
    assert await _run(executor) == 1


async def test_what_a_run_raises_reaches_its_caller_alone(started: Start) -> None:
    def bad(_: RunContext) -> None:
        raise BadInput("No.")

    executor = started(lambda: Painter(bad=bad))
    await executor.start()
    with pytest.raises(BadInput, match=r"No\."):
        await _run(executor, "bad")
    assert await _run(executor) == 1


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(3), KeyboardInterrupt()])
async def test_what_cannot_cross_to_asyncio_becomes_an_ordinary_error(
    started: Start, error: BaseException
) -> None:
    def raises(_: RunContext) -> None:
        raise error

    executor = started(lambda: Painter(odd=raises))
    await executor.start()
    with pytest.raises(RuntimeError, match=type(error).__name__):
        await _run(executor, "odd")
    assert await _run(executor) == 1


async def test_an_error_keeps_nothing_on_the_gpu(started: Start) -> None:
    class Tensor:
        pass

    kept: list[weakref.ref[Tensor]] = []

    def fail(_: RunContext) -> None:
        latents = Tensor()
        kept.append(weakref.ref(latents))
        try:
            raise ValueError("first")
        except ValueError as error:
            raise BadInput("No.") from error

    executor = started(lambda: Painter(fail=fail))
    await executor.start()
    with pytest.raises(BadInput) as caught:
        await _run(executor, "fail")
    gc.collect()
    assert caught.value.__traceback__ is not None
    assert kept[0]() is None


async def test_stopping_lets_the_run_end(started: Start) -> None:
    gate = Gate()
    executor = started(lambda: Painter(gate=gate))
    await executor.start()
    run = asyncio.create_task(_run(executor, "gate"))
    await gate.wait()
    stop = asyncio.create_task(executor.stop())
    await asyncio.sleep(0)
    assert not stop.done()
    gate.open.set()
    assert await run == 1
    await asyncio.wait_for(stop, SOON)
    with pytest.raises(RenderFailed, match="stopping"):
        await executor.run([a_request()], RunContext())


async def test_stopping_twice_and_without_a_start(started: Start) -> None:
    executor = started(Painter)
    assert not executor.usable()
    await executor.stop()
    await executor.stop()
    assert not executor.usable()


async def test_a_lost_card_is_lost_to_every_run_with_an_error_of_its_own(started: Start) -> None:
    def fatal(_: RunContext) -> None:
        raise CardLost.named("The card")

    painter, errors, begun = Painter(fatal=fatal), [], []
    executor = started(lambda: painter)
    await executor.start()
    for prompt in ("fatal", "a fox", "a fox"):
        context = RunContext(on_begin=lambda: begun.append(True))
        with pytest.raises(CardLost, match="The card stopped working") as caught:
            await asyncio.wait_for(executor.run([a_request(prompt)], context), SOON)
        errors.append(caught.value)
    assert len(set(errors)) == 3 and len(begun) == 1
