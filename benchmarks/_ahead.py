"""Networks compiled as a whole, each in a process of its own: minutes of one processor each, which
pass at the same time. Whoever compiles the same afterwards finds it in torch's cache on disk.

    python -m benchmarks._ahead sketch      (which `python -m benchmarks.gpu speed` starts)
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from benchmarks._bench import Bench, of_full_size
from pipelines.catalog import ModelKey
from pipelines.contract.context import RunContext
from pipelines.loading import quiet_libraries

AHEAD: Final = frozenset({ModelKey.SKETCH, ModelKey.ANIMATE})
"""Those whose network is compiled as a whole."""


@contextmanager
def compiling(bench: Bench) -> Iterator[Callable[[], None]]:
    """Compile while the block goes on, on a card with room for all; what is given waits for it."""
    keys = AHEAD if _has_room(bench) else ()
    begun = [subprocess.Popen([sys.executable, "-m", __name__, key]) for key in keys]

    def wait() -> None:
        for process in begun:
            process.wait()

    try:
        yield wait
    finally:
        for process in begun:
            process.kill()
        wait()


def _has_room(bench: Bench) -> bool:
    if not bench.on_card:
        return False
    free, _ = torch.cuda.mem_get_info(bench.device)
    return sum(plan.peak for plan in bench.runner().plans().values()) <= free


def main() -> None:
    """Make something of a model in two steps."""
    quiet_libraries()
    key = ModelKey(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        bench = of_full_size(torch.device("cuda", 0), Path(name)).hurried(2)
        bench.runner().run([bench.request(key, 0)], RunContext())


if __name__ == "__main__":
    main()
