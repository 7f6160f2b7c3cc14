"""A network's calls recorded as CUDA graphs: a call is one launch instead of thousands.

network._compiled_call_impl = Recorded(network._compiled_call_impl)
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

log = logging.getLogger(__name__)

SHAPES = 2  # whose recordings are kept: each holds the memory that its call computes in
_ONE_AT_A_TIME = threading.Lock()  # torch records one graph at a time in a process
_MODE = "thread_local"  # threads of other cards may allocate memory meanwhile


@dataclass(frozen=True, slots=True)
class _Recording:
    """A graph, the tensors that it reads, and what it leaves."""

    graph: torch.cuda.CUDAGraph
    given: list[Tensor]
    made: Any


class Recorded:
    """Makes the first call with arguments of a shape; records the second, and replays it from then.

    The result must depend on the arguments alone, and weights must stay where they are until
    `forget`. Calls with a tensor that is not on a CUDA device are passed through, and so are all
    calls once one could not be recorded.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._seen: set[Hashable] = set()
        self._recordings: OrderedDict[Hashable, _Recording] = OrderedDict()
        self._fails = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the call returns, in tensors of its own."""
        leaves, spec = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = (spec, tuple(map(_like, leaves)))
        known = key in self._seen and tensors and all(tensor.is_cuda for tensor in tensors)
        recording = self._recording(key, leaves, spec) if known and not self._fails else None
        if recording is None:
            self._seen.add(key)
            return self._call(*args, **kwargs)
        for there, tensor in zip(recording.given, tensors, strict=True):
            there.copy_(tensor)
        recording.graph.replay()
        return pytree.tree_map_only(Tensor, torch.clone, recording.made)

    def forget(self) -> None:
        """Drop all recordings, and the memory that they hold, when none is replayed any more."""
        if self._recordings:
            torch.cuda.synchronize()
        self._recordings.clear()

    def _recording(
        self, key: Hashable, leaves: list[Any], spec: pytree.TreeSpec
    ) -> _Recording | None:
        """The recording for `key`, made if it is not there; None if it cannot be made."""
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(leaves, spec)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                log.warning("no CUDA graph can be made, and calls stay as slow: %s", error)
                self._fails = True
                return None
            if len(self._recordings) > SHAPES:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(key)
        return self._recordings[key]

    def _record(self, leaves: list[Any], spec: pytree.TreeSpec) -> _Recording:
        kept = [_copy(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries take their workspaces before, not meanwhile
            self._run(kept, spec)
        here = torch.cuda.current_stream()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            # Not on torch's own stream: that is of the card that was recorded on first.
            with _ONE_AT_A_TIME, torch.cuda.graph(graph, stream=aside, capture_error_mode=_MODE):
                made = self._run(kept, spec)
        finally:
            torch.cuda.set_stream(here)
        return _Recording(graph, [leaf for leaf in kept if isinstance(leaf, Tensor)], made)

    def _run(self, leaves: list[Any], spec: pytree.TreeSpec) -> Any:
        args, kwargs = pytree.tree_unflatten(leaves, spec)
        return self._call(*args, **kwargs)


def _like(leaf: Any) -> Hashable:
    """What has to be equal in two arguments for one recording to serve both."""
    if isinstance(leaf, Tensor):
        return (tuple(leaf.shape), leaf.dtype, leaf.device, leaf.is_inference())
    return leaf if isinstance(leaf, Hashable) else id(leaf)


def _copy(tensor: Tensor) -> Tensor:
    """A copy made in the same mode: compiled code is compiled anew for tensors of the other."""
    with torch.inference_mode(tensor.is_inference()):
        return tensor.clone()
