"""What models of full size take of a card while they compute, beside what their plans keep free.

No card is needed. The networks are of their full size, but their tensors have shapes and no
contents (PyTorch's device `meta`): what each operation would allocate is counted until it is freed.
For cards of several sizes, and each model with all that its plan gives up there, printed are

- the most GiB that tensors take beside the weights when it reads, in a step, and when it decodes;
- what the plan keeps free for a step and for decoding. It has to be more: libraries have working
  memory of their own, and something is lost between allocations;
- the operations of a whole run, as a multiple of those with nothing given up: what is taken in
  thousands of parts takes little memory, and for ever.
"""

import re
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks._bench import FULL, KEYS, NAMES
from benchmarks._full_size import build
from benchmarks._report import report
from pipelines.acceleration import accelerate
from pipelines.catalog import Acceleration, AnimateModel, ImagineModel, ModelKey, SketchModel
from pipelines.fitting import fit_to
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, TEXT, Card, Plan

CARDS = (6, 8, 12, 16, 24, 80)  # GiB, beside RAM that is large enough
GOAL = 3.0  # times the operations
READ, STEP, DECODE = "reading", "a step", "decoding"
CLIP_TOKENS = 77
META = torch.device("meta")
_ATTENTION = torch.ops.aten.scaled_dot_product_attention


@dataclass(frozen=True, slots=True)
class Used:
    """What a part of a run takes: bytes of tensors beside the weights, at most, and operations."""

    peak: int
    operations: int


Run = Mapping[str, Used]


class Taken(TorchDispatchMode):
    """Counts what is allocated and not yet freed while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self.operations = 0
        self._now = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def know(self, module: torch.nn.Module) -> None:
        """Do not count the weights of a network."""
        for tensor in (*module.parameters(), *module.buffers()):
            self._seen.add(tensor.untyped_storage())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any | None = None
    ) -> Any:
        """Do what was asked for, and count what is new."""
        self.operations += 1
        attends = func.overloadpacket is _ATTENTION
        made = (_attended if attends else func)(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        if storage in self._seen:  # a view, or what was changed in place
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self._now -= size


def _attended(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    """What attention returns: a kernel keeps nothing else, while `meta` has none and would."""
    return query.new_empty(*query.shape[:-1], value.shape[-1])


def measure(key: ModelKey, model: Any, plan: Plan) -> Run:
    """What each part of a run of a model takes, held as `plan` says."""
    dtype = torch.bfloat16 if key is ModelKey.IMAGINE else torch.float16
    pipeline = build(key, META, dtype)
    accelerate(pipeline, Acceleration(), plan, torch.device("cuda"))
    fit_to(pipeline, plan)
    with META:
        parts = _PARTS[key](pipeline, model, plan)
        return {name: _used(pipeline, part) for name, part in parts.items()}


def _used(pipeline: Any, call: Callable[[], object]) -> Used:
    taken = Taken()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            taken.know(part)
    with torch.inference_mode(), taken:
        call()
    return Used(taken.peak, taken.operations)


# --- what pipelines call ------------------------------------------------------------------------

Parts = Mapping[str, Callable[[], object]]


def _tokens(count: int = CLIP_TOKENS) -> Tensor:
    return torch.zeros(2, count, dtype=torch.long)  # the prompt's, and the negative one's


def _of_sketch(pipeline: Any, model: SketchModel, plan: Plan) -> Parts:
    side, half = model.size // pipeline.vae_scale_factor, torch.float16

    def read() -> object:
        return [each(_tokens()) for each in (pipeline.text_encoder, pipeline.text_encoder_2)]

    def step() -> object:
        return pipeline.unet(
            torch.empty(2, 4, side, side, dtype=half),
            torch.tensor(500),
            encoder_hidden_states=torch.empty(2, CLIP_TOKENS, 2048, dtype=half),
            added_cond_kwargs={
                "text_embeds": torch.empty(2, 1280, dtype=half),
                "time_ids": torch.empty(2, 6, dtype=half),
            },
            down_intrablock_additional_residuals=_lines(side),
        )

    return {READ: read, STEP: step, DECODE: _decode(pipeline, 4, side)}


def _lines(side: int) -> list[Tensor]:
    """What the adapter says of a drawing, which lasts as long as the steps."""
    sizes = ((320, side // 2), (640, side // 2), (1280, side // 4), (1280, side // 4))
    return [torch.empty(2, width, size, size, dtype=torch.float16) for width, size in sizes]


def _of_imagine(pipeline: Any, model: ImagineModel, plan: Plan) -> Parts:
    side, half = model.size // pipeline.vae_scale_factor, torch.bfloat16

    def read() -> object:
        clips = [each(_tokens()) for each in (pipeline.text_encoder, pipeline.text_encoder_2)]
        return clips, pipeline.text_encoder_3(_tokens(model.text_tokens))

    def step() -> object:
        tokens = CLIP_TOKENS + model.text_tokens
        return pipeline.transformer(
            hidden_states=torch.empty(2, 16, side, side, dtype=half),
            timestep=torch.empty(2, dtype=half),
            encoder_hidden_states=torch.empty(2, tokens, 4096, dtype=half),
            pooled_projections=torch.empty(2, 2048, dtype=half),
        )

    return {READ: read, STEP: step, DECODE: _decode(pipeline, 16, side)}


def _decode(pipeline: Any, channels: int, side: int) -> Callable[[], object]:
    vae = pipeline.vae
    return lambda: vae.decode(torch.empty(1, channels, side, side, dtype=vae.dtype))


def _of_animate(pipeline: Any, model: AnimateModel, plan: Plan) -> Parts:
    half, scale = torch.float16, pipeline.vae_scale_factor
    height, width = model.height // scale, model.width // scale
    chunk = plan.decode_chunk or model.decode_chunk

    def read() -> object:
        seen = pipeline.image_encoder(torch.empty(1, 3, 224, 224, dtype=half))
        encoder = pipeline.vae.encoder  # which force_upcast has compute in float32
        weights = {name: tensor.float() for name, tensor in encoder.state_dict().items()}
        picture = torch.empty(1, 3, model.height, model.width)
        return seen, torch.func.functional_call(encoder, weights, picture)

    def step() -> object:
        return pipeline.unet(
            torch.empty(2, model.frames, 8, height, width, dtype=half),
            torch.tensor(1.0),
            encoder_hidden_states=torch.empty(2, 1, 1024, dtype=half),
            added_time_ids=torch.empty(2, 3, dtype=half),
        )

    def decode() -> object:
        latents = torch.empty(model.frames, 4, height, width, dtype=half)
        return torch.cat(
            [pipeline.vae.decode(part, len(part)).sample for part in torch.split(latents, chunk)]
        )

    return {READ: read, STEP: step, DECODE: decode}


_PARTS: Mapping[ModelKey, Callable[[Any, Any, Plan], Parts]] = {
    ModelKey.SKETCH: _of_sketch,
    ModelKey.IMAGINE: _of_imagine,
    ModelKey.ANIMATE: _of_animate,
}


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A model on a card. `work` is the operations, as a multiple of those with nothing given up."""

    plan: Plan
    run: Run
    work: float

    @property
    def taken(self) -> float:
        """Of what the plan keeps free, what tensors take at most."""
        return max(used.peak / self.kept_free(part) for part, used in self.run.items())

    def kept_free(self, part: str) -> int:
        """What the plan keeps free for a part of a run, in bytes."""
        reads_alone = part == READ and TEXT in self.plan.groups
        return self.plan.groups[TEXT if reads_alone else PAINTER].working

    def __str__(self) -> str:
        peaks = (self.run[READ].peak, self.run[STEP].peak, self.run[DECODE].peak)
        columns = "".join(f"{size / GIB:9.2f}" for size in (*peaks, self.kept_free(STEP)))
        given_up = "; ".join(re.split("[,(]", text)[0].strip() for text in self.plan.given_up)
        return f"{columns}{self.work:7.1f}×  {given_up or 'nothing'}"


def rows(key: ModelKey) -> Iterator[tuple[int, Row]]:
    """A model on each of the cards, by their GiB."""
    model = getattr(FULL, key)
    plan = plan_model(key, model, Card("cuda"))
    runs = [(plan, measure(key, model, plan))]
    whole = _operations(runs[0][1], model)
    for gib in CARDS:
        plan = plan_model(key, model, Card("cuda", (gib - 1) * GIB))
        run = next((run for known, run in runs if known == plan), None)
        if run is None:
            run = measure(key, model, plan)
            runs.append((plan, run))
        yield gib, Row(plan, run, _operations(run, model) / whole)


def _operations(run: Run, model: Any) -> int:
    """Of a whole run."""
    return sum(used.operations * (model.steps if part == STEP else 1) for part, used in run.items())


def main() -> bool:
    """Print the table, and whether plans keep enough free and take nothing in too many parts."""
    taken = work = 0.0
    for key in KEYS:
        columns = "".join(f"{name:>9}" for name in (READ, STEP, DECODE, "kept"))
        print(f"{NAMES[key]:12}{columns}{'work':>8}  given up")
        for gib, row in rows(key):
            print(f"{f'{gib:3} GiB':12}{row}", flush=True)
            taken, work = max(taken, row.taken), max(work, row.work)
    figure = f"tensors take {taken:.0%} of what is kept free at most, in {work:.1f}× the operations"
    return report("memory", figure, f"≤ 100 %, ≤ {GOAL:g}×", met=taken <= 1 and work <= GOAL)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
