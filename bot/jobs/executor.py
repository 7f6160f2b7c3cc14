"""What the queue's worker asks of an executor."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipelines.contract.context import RunContext
from pipelines.contract.requests import Kind, Request
from pipelines.contract.runner import Artifacts


class Executor(Protocol):
    """A card, which runs one batch at a time.

    Its methods are called on the event loop and never block it.
    """

    async def start(self) -> None:
        """Begin: returns at once, while libraries and models load behind it."""
        ...

    async def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Run a batch to its end, on the executor's own thread, which calls `context.begin` first.

        Raises what RunnerLike.run raises; after CardLost no run is of use. Cancelling the awaiting
        task does not stop the GPU: set `context.cancel` and await the end.
        """
        ...

    def usable(self) -> bool:
        """False before the start, and once its card did not come up until it does.

        A run is a try to have it do so.
        """
        ...

    def ready(self) -> bool:
        """Whether a run would begin at once; else something may have to be loaded before it."""
        ...

    def resident(self) -> frozenset[str]:
        """Keys of the models that are on the GPU, as of the last run."""
        ...

    def batches(self) -> Mapping[Kind, int]:
        """How many pictures of a kind it pays to make together here; one, where nothing is said."""
        ...

    async def stop(self) -> None:
        """End after the current run and free the GPU."""
        ...
