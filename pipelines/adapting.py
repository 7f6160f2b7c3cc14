"""LoRAs beside a denoiser: while a run lasts, what one adds is added to the output of each layer.

    with adapters.beside(pipeline, lora, ...):
        ...

The network is not touched. Its weights stay where residency, streaming and quantisation keep them,
and without the LoRA it computes what it did before, to the last bit. Only the denoiser is adapted:
what a file holds for text encoders is ignored.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.contract.errors import ModelUnavailable
from pipelines.contract.text import Text
from pipelines.device import ran_out
from pipelines.fitting import denoiser_of
from pipelines.headers import NotWhole, read_shapes
from pipelines.loading import BUILDING
from pipelines.loras import Lora, is_dora
from pipelines.weights import Weights

REMEMBERED = 4  # adapters in RAM, if there is room: mostly 20 to 400 MB each
_NAME = "lora"  # of the adapter in peft
_UNFIT = (ValueError, RuntimeError, LookupError, TypeError, AttributeError)
"""What diffusers and peft raise when a file is for another model, or is no LoRA."""

Complain = Callable[[Text], ModelUnavailable]
"""Makes the error of a file from the end of a sentence about it: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a LoRA adds to the output of one layer: up(down(input)) × scale."""

    down: nn.Linear | nn.Conv2d
    up: nn.Linear | nn.Conv2d
    scale: float

    def __call__(self, layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """A forward hook of the layer."""
        added: Tensor = self.up(self.down(given[0].to(self.down.weight.dtype)))
        return (output + added * self.scale).to(output.dtype)

    def of_weights(self) -> Tensor:
        """What it would add to the layer's weights, of their shape, in float32."""
        up, down = (module.weight.detach().float() for module in (self.up, self.down))
        return (up.flatten(1) @ down.flatten(1) * self.scale).view(len(up), *down.shape[1:])


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA that was read: its changes by the names of layers, and all its weights."""

    changes: Mapping[str, Change]
    weights: Weights


class Adapters:
    """Reads LoRAs, and remembers the last few in RAM, as far as there is room."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: OrderedDict[Lora, Adapter] = OrderedDict()

    @contextmanager
    def beside(
        self,
        pipeline: Any,
        lora: Lora,
        *,
        on_read: Callable[[], None],
        make_room: Callable[[int], None],
        room: float = inf,
    ) -> Iterator[None]:
        """Have a LoRA on the device and at work in the pipeline's denoiser until the block ends.

        Calls `on_read` before a file is read, and `make_room` with the bytes that will be moved in.
        Of the LoRAs in RAM this one stays, and others as far as all take `room` bytes together.
        Raises ModelUnavailable.
        """
        if lora not in self._known:
            on_read()
            with BUILDING:
                self._known[lora] = self._read(pipeline, lora)
        self._known.move_to_end(lora)
        adapter = self._known[lora]
        self.keep_within(max(room, adapter.weights.in_ram))
        make_room(adapter.weights.size)
        try:
            adapter.weights.move_in()
            with _hooked(denoiser_of(pipeline), adapter.changes):
                yield
        finally:
            adapter.weights.move_out()

    def keep_within(self, room: float) -> None:
        """Forget LoRAs used longest ago, down to REMEMBERED of them and `room` bytes at most."""
        while len(self._known) > REMEMBERED or self._size() > room:
            self._known.popitem(last=False)

    def _size(self) -> int:
        return sum(adapter.weights.in_ram for adapter in self._known.values())

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()

    def _read(self, pipeline: Any, lora: Lora) -> Adapter:
        changes = read_changes(
            pipeline,
            lora.file,
            lambda why: ModelUnavailable(
                "The LoRA “{name}” {why}. Please choose another; this bot's owner can replace "
                "{file}, or delete it.",
                name=lora.name,
                why=why,
                file=lora.file.name,
            ),
        )
        modules = [module for change in changes.values() for module in (change.down, change.up)]
        return Adapter(changes, Weights(modules, self._device))


@contextmanager
def _hooked(denoiser: nn.Module, changes: Mapping[str, Change]) -> Iterator[None]:
    """Have the changes at work as hooks. Compiled blocks, which ignore hooks, run uncompiled."""
    with ExitStack() as stack:
        for module in denoiser.modules():
            if (compiled := module._compiled_call_impl) is not None:
                module._compiled_call_impl = None
                stack.callback(partial(setattr, module, "_compiled_call_impl", compiled))
        for name, change in changes.items():
            hook = denoiser.get_submodule(name).register_forward_hook(change)
            stack.callback(hook.remove)
        yield


def fuse(pipeline: Any, file: Path, complain: Complain) -> None:
    """Make a file's changes part of a denoiser's weights, for good. Raises as `read_changes`."""
    denoiser = denoiser_of(pipeline)
    for name, change in read_changes(pipeline, file, complain).items():
        weights = denoiser.get_submodule(name).weight
        weights.data = (weights.data.float() + change.of_weights()).to(weights.dtype)


# --- read ---------------------------------------------------------------------------------------


def read_changes(pipeline: Any, file: Path, complain: Complain) -> dict[str, Change]:
    """The changes that a file makes to a pipeline's denoiser, in RAM, by the names of its layers.

    Raises what `complain` makes of what is wrong with the file.
    """
    try:
        return _changes(pipeline, file)
    except (OSError, NotWhole, SafetensorError, *_UNFIT) as error:
        if (full := ran_out(error)) is not None:  # memory, which says nothing about the file
            raise full from None
        if isinstance(error, _UNFIT):
            raise complain(Text("does not fit this model")) from error
        raise complain(Text("cannot be read")) from error


def _changes(pipeline: Any, file: Path) -> dict[str, Change]:
    """Read by diffusers into a copy of the network without weights, which may fail half-way."""
    if is_dora(read_shapes(file)):
        raise ValueError(f"{file.name} is a DoRA, of which diffusers would read half")
    denoiser = denoiser_of(pipeline)
    part = "unet" if denoiser is getattr(pipeline, "unet", None) else "transformer"
    tensors, kohyas, metadata = _read_state(pipeline, file, part)
    layers = _lora_layers(denoiser, part, tensors, metadata)
    scales = {name: layer.scaling[_NAME] for name, layer in layers.items()}
    if metadata is None:
        alphas = _alphas([tensors, *filter(None, kohyas)], part)
        scales |= {n: alphas[n] / layers[n].r[_NAME] for n in alphas.keys() & layers.keys()}
    changes = {
        name: Change(layer.lora_A[_NAME], layer.lora_B[_NAME], scales[name])
        for name, layer in layers.items()
    }
    given = [tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")]
    used = [p for c in changes.values() for m in (c.down, c.up) for p in m.parameters()]
    if not used or _numbers(used) != _numbers(given):
        raise ValueError(f"{file.name} changes layers that {type(denoiser).__name__} does not have")
    if any(p.is_meta for p in used):  # which would be whatever was in memory before
        raise ValueError(f"{file.name} lacks weights of layers that it changes")
    if not all(map(isfinite, scales.values())) or not all(bool(p.isfinite().all()) for p in used):
        raise ValueError(f"{file.name} holds numbers that are none, as of a training that failed")
    return changes


def _read_state(pipeline: Any, file: Path, part: str) -> tuple[dict[str, Tensor], list[Any], Any]:
    """A file's tensors by diffusers' names, the alphas that it found in kohya's, and metadata."""
    settings = {"unet_config": pipeline.unet.config} if part == "unet" else {}
    tensors, *kohyas, metadata = pipeline.lora_state_dict(
        _with_kohyas_names(file) or str(file.parent),
        weight_name=file.name,
        use_safetensors=True,
        local_files_only=True,
        return_lora_metadata=True,
        **settings,
    )
    return tensors, kohyas, metadata


_KOHYAS = {
    "lora_unet_add_embedding_linear_1": "lora_unet_label_emb_0_0",
    "lora_unet_add_embedding_linear_2": "lora_unet_label_emb_0_2",
}
"""Two layers for which other trainers than kohya's own use diffusers' names, which diffusers would
read as one layer; the names that kohya's uses are Stability's."""


def _with_kohyas_names(file: Path) -> dict[str, Tensor] | None:
    """A file's tensors by kohya's names, if it has some that diffusers would misread; else None."""
    if not _KOHYAS.keys() & {name.partition(".")[0] for name in read_shapes(file)}:
        return None
    tensors = {}
    for name, tensor in load_file(file).items():
        layer, dot, end = name.partition(".")
        tensors[_KOHYAS.get(layer, layer) + dot + end] = tensor
    return tensors


def _lora_layers(
    denoiser: Any, part: str, tensors: dict[str, Tensor], metadata: Any
) -> dict[str, Any]:
    """peft's layers of a copy of the denoiser that was given the tensors, by their names."""
    from peft.tuners.lora import LoraLayer

    copy = _without_weights(denoiser)
    copy.load_lora_adapter(
        tensors,
        prefix=part,
        metadata=metadata,
        adapter_name=_NAME,
        low_cpu_mem_usage=True,  # else every layer is filled with random numbers first
    )
    return {n: layer for n, layer in copy.named_modules() if isinstance(layer, LoraLayer)}


def _alphas(read: Iterable[Mapping[str, Any]], part: str) -> dict[str, float]:
    """The alphas that a file gives to layers of `part`: a change is scaled by alpha / rank.

    diffusers loses all alphas in files of its own format, and in those of kohya's trainers the ones
    of attention if they differ.
    """
    from diffusers.utils import convert_unet_state_dict_to_peft

    found = {}
    for name, alpha in ((n, a) for each in read for n, a in each.items() if n.endswith(".alpha")):
        layer = name.removesuffix(".alpha")
        if layer.startswith(f"{part}."):
            layer = layer.removeprefix(f"{part}.").removesuffix(".down.weight")
            down = (
                f"{layer}.down.weight" if layer.endswith("_lora") else f"{layer}.lora.down.weight"
            )
            (matrix,) = convert_unet_state_dict_to_peft({down: alpha})
            found[matrix.removesuffix(".lora_A.weight")] = float(alpha)
    return found


def _numbers(tensors: Any) -> int:
    """How many numbers matrices hold; tensors of one dimension are scales and biases."""
    return sum(tensor.numel() for tensor in tensors if tensor.ndim > 1)


def _without_weights(denoiser: Any) -> Any:
    """A network of the same layers whose weights take no memory: one zero, expanded."""
    with torch.device("meta"):
        copy = type(denoiser).from_config(denoiser.config)
    nothing = torch.zeros((), dtype=denoiser.dtype)
    for module in copy.modules():
        for name, weights in module._parameters.items():
            if weights is not None:
                module._parameters[name] = nn.Parameter(
                    nothing.expand(weights.shape), requires_grad=False
                )
    return copy
