"""Steps are reported as they are done, however far ahead they were launched."""

from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch

from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.steps import Steps

STEPS = 5


class Queue:
    """Of a card that does nothing before somebody waits for it; stands in for CUDA's events."""

    def __init__(self) -> None:
        self.launched = self.done = 0

    def event(self, **kwargs: object) -> Any:
        queue = self

        class Event:
            def record(self, stream: object) -> Self:
                self.step = queue.launched = queue.launched + 1
                return self

            def synchronize(self) -> None:
                queue.done = max(queue.done, self.step)

        return Event()


def test_the_processor_is_one_step_ahead_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, ahead = Queue(), []
    monkeypatch.setattr(torch.cuda, "Event", queue.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)

    def listen(progress: Progress) -> None:
        ahead.append(progress.step - queue.done)

    steps = Steps(RunContext(listen), Phase.PAINTING, STEPS)
    latents: Any = SimpleNamespace(is_cuda=True, device="cuda:0")
    for index in range(STEPS):
        steps.on_step_end(None, index, None, {"latents": latents})
    assert ahead == [0, 1, 1, 1, 1, 1]


def test_what_prepares_the_first_step_ends_with_it() -> None:
    begun: list[int] = []
    steps = Steps(RunContext(), Phase.ANIMATING, STEPS, begun=lambda: begun.append(len(begun)))
    assert begun == []
    steps.on_step_end(None, 0, None, {})
    assert begun == [0]


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_on_a_card_a_step_is_reported_when_the_one_before_it_is_done() -> None:
    launched: list[torch.cuda.Event] = []
    ahead = []

    def listen(progress: Progress) -> None:
        ahead.append(sum(not event.query() for event in launched))  # type: ignore[no-untyped-call]

    steps = Steps(RunContext(listen), Phase.PAINTING, STEPS)
    latents = torch.zeros(1, device="cuda")
    for index in range(STEPS):
        torch.cuda._sleep(100_000_000)  # type: ignore[no-untyped-call]  # cycles
        launched.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
        launched[-1].record()
        steps.on_step_end(None, index, None, {"latents": latents})
    assert max(ahead) <= 1
