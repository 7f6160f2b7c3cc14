"""The default executor: one thread of this process that loads, moves and runs every model."""

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from pipelines.contract.context import RunContext
from pipelines.contract.errors import AtelierError, CardLost, RenderFailed, causes
from pipelines.contract.requests import Kind, Request
from pipelines.contract.runner import Artifacts, RunnerLike
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

Order = tuple[Callable[[RunnerLike], tuple[Artifacts, ...]], Future[tuple[Artifacts, ...]]]
"""What to do with the Runner, and where to put the result."""


class ThreadExecutor:
    """Builds a Runner in a thread of its own, where alone it is used until it is closed there.

    `build` may import torch. Where it raises, the job that waited for it fails with its error,
    and the next job has it tried again. With `preload`, models are loaded while no job waits.
    `name` is the thread's.
    """

    def __init__(
        self, build: Callable[[], RunnerLike], *, preload: bool = False, name: str = "gpu"
    ) -> None:
        self._build = build
        self._preload = preload
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=False)
        self._broken = False
        self._warming = True
        self._lost: Text | None = None
        self._resident: frozenset[str] = frozenset()
        self._batches: Mapping[Kind, int] = {}
        self._stopped = False

    async def start(self) -> None:
        """Begin: returns at once, while libraries and models load behind it."""
        self._order_warm_up()
        self._thread.start()

    async def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Run a batch to its end. Raises what the Runner raises, or what building it raised."""
        if self._stopped:
            raise RenderFailed("The bot is stopping; please try again when it is back.")
        done: Future[tuple[Artifacts, ...]] = Future()

        def work(runner: RunnerLike) -> tuple[Artifacts, ...]:
            context.begin()
            return runner.run(requests, context)

        self._orders.put((work, done))
        return await asyncio.wrap_future(done)

    def usable(self) -> bool:
        """False once the Runner could not be built, until it was; and while no thread is there."""
        return not self._broken and self._thread.is_alive()

    def ready(self) -> bool:
        """Whether the models have been loaded, as far as they are before a job asks for them."""
        return not (self._warming or self._broken or self._lost)

    def resident(self) -> frozenset[str]:
        """Keys of the models that are on the GPU, as of the last run."""
        return self._resident

    def batches(self) -> Mapping[Kind, int]:
        """How many pictures of a kind it pays to make together, as the Runner said when built."""
        return self._batches

    async def stop(self) -> None:
        """End after the current run and free the GPU. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._orders.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    # -- on the thread ----------------------------------------------------------------------

    def _serve(self) -> None:
        runner: RunnerLike | None = None
        while (order := self._orders.get()) is not None:
            work, done = order
            if not done.set_running_or_notify_cancel():
                continue
            try:
                if self._lost is not None:  # said before anybody has begun, who would be blamed
                    raise CardLost(self._lost)  # a new one: the frames of the last are at work
                runner = runner or self._build_runner()
                try:
                    result = work(runner)
                finally:
                    self._resident = runner.resident()
            except BaseException as error:  # noqa: BLE001  # carried to whoever awaits the result
                if isinstance(error, CardLost):
                    self._lost = error.text
                done.set_exception(_carried(error))
            else:
                done.set_result(result)
        if runner is not None:
            self._close(runner)

    def _order_warm_up(self) -> None:
        ready: Future[tuple[Artifacts, ...]] = Future()
        ready.add_done_callback(self._log_failure)
        self._orders.put((self._warm_up, ready))

    def _warm_up(self, runner: RunnerLike) -> tuple[Artifacts, ...]:
        """Load one model, and the next one after whatever was ordered meanwhile."""
        if self._preload and runner.preload():
            self._order_warm_up()
        else:
            self._warming = False
        return ()

    def _build_runner(self) -> RunnerLike:
        try:
            runner = self._build()
        except AtelierError:
            self._broken = True
            raise
        except Exception as error:
            self._broken = True
            log.exception("%s: the Runner cannot be built", self._thread.name)
            raise RenderFailed(
                "The bot cannot use its GPU at the moment. Its owner finds the reason in the log."
            ) from error
        self._broken = False
        self._batches = runner.batches()
        return runner

    def _close(self, runner: RunnerLike) -> None:
        try:
            runner.close()
        except Exception:
            log.exception("%s was not freed in good order", self._thread.name)
        self._resident = frozenset()

    def _log_failure(self, ready: Future[tuple[Artifacts, ...]]) -> None:
        if (error := ready.exception()) is not None:
            self._warming = False
            log.error(
                "%s is not ready; a job that no other card can take will have it tried again: %s",
                self._thread.name,
                error,
            )


def _carried(error: BaseException) -> Exception:
    """`error` as it may leave the thread.

    Its frames give up their variables, or a traceback would keep tensors on the GPU for as long
    as anyone holds the error. StopIteration and what is no Exception cannot cross to asyncio.
    """
    for cause in causes(error):
        traceback.clear_frames(cause.__traceback__)
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    carried = RuntimeError(f"{type(error).__name__} on the GPU thread")
    carried.__cause__ = error
    return carried
