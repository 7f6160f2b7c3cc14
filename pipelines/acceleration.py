"""Networks made quicker without changing what they compute, but for the last bits."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipelines.catalog import Acceleration
from pipelines.fitting import denoiser_of
from pipelines.plan import Plan
from pipelines.recording import Recorded

_OF_VIDEOS = "UNetSpatioTemporalConditionModel"
_REPEATED = {
    "SD3Transformer2DModel": ["JointTransformerBlock"],
    _OF_VIDEOS: [
        "BasicTransformerBlock",
        "TemporalBasicTransformerBlock",
        "SpatioTemporalResBlock",
    ],
}
"""The blocks that make up most of a denoiser, where diffusers does not name them itself. One of a
kind is compiled for all of its kind, in a fraction of the time that the whole network takes."""
WHOLE = {"UNet2DConditionModel", _OF_VIDEOS}
"""Denoisers that are compiled as a whole: half of a UNet's time is between its transformers, in
convolutions and norms that are quick only when they are compiled together."""
_RECORDED = {"UNet2DConditionModel"}
"""Denoisers whose calls are recorded as CUDA graphs: of so many small kernels that launching them
takes as long as they do."""
_RECOMPILE_LIMIT = 64  # shapes of one block: a UNet has a dozen, and torch's own limit is 8
_KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
_FALLBACKS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""For what the chosen kernel refuses (torch's `sdp_utils.cpp`). Flash takes no mask, as T5's bias
is, no float32, in which SVD's VAE encodes, and heads of 256 at most; cuDNN takes those of 128, or
256 on an H100. The one head of a VAE has 512. With math alone, SVD's scores would be 79 GiB."""


def accelerate(
    pipeline: Any, settings: Acceleration, plan: Plan, device: torch.device, *, roomy: bool = False
) -> None:
    """Prepare the networks of a pipeline that was just loaded, and will run on `device`.

    Compiling itself happens when they are first called. `roomy` says that the card has room for all
    models and what they compute at once, so that weights stay where CUDA graphs find them.
    """
    denoiser = denoiser_of(pipeline)
    if device.type == "cpu":
        for conv in _over_time(pipeline):
            conv.forward = partial(_convolve_over_time, conv)  # type: ignore[method-assign]
    _remember_answers(pipeline, device)
    if type(denoiser).__name__ == _OF_VIDEOS:
        _skip_queries(denoiser)
    if not settings.compile or plan.uncompiled:
        return
    for weights in _convolution_weights(pipeline):  # uncompiled, diffusers' norms undo the format
        weights.data = weights.data.contiguous(memory_format=torch.channels_last)
    _compile(denoiser, plan)
    if roomy and type(denoiser).__name__ in _RECORDED:
        denoiser._compiled_call_impl = Recorded(denoiser._compiled_call_impl)
    if not plan.tiled and plan.decode_chunk is None:
        pipeline.vae.decoder.compile()


def forget_recordings(pipeline: Any) -> None:
    """Drop the CUDA graphs of a pipeline's denoiser, whose weights are about to leave the card."""
    if isinstance(recorded := denoiser_of(pipeline)._compiled_call_impl, Recorded):
        recorded.forget()


def _modules(pipeline: Any) -> Iterator[nn.Module]:
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            yield from part.modules()


def _convolution_weights(pipeline: Any) -> Iterator[Tensor]:
    """The weights of a pipeline's convolutions over height and width."""
    for module in _modules(pipeline):
        if isinstance(module, nn.Conv2d):
            yield module.weight


def _compile(denoiser: Any, plan: Plan) -> None:
    """Have a denoiser compiled when it is first called; if that fails, torch logs it and runs it
    uncompiled."""
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
    name = type(denoiser).__name__
    if name in WHOLE and not (plan.split_guidance or plan.forward_chunk):
        denoiser.compile()
        return
    if blocks := _REPEATED.get(name):
        denoiser._repeated_blocks = blocks
    denoiser.compile_repeated_blocks()


# --- attention to one token ---------------------------------------------------------------------


def _skip_queries(unet: Any) -> None:
    """Spare Stable Video Diffusion the queries of its cross attention, which is to one token."""
    unet.set_attn_processor(
        {
            name: OneToken(processor) if ".attn2." in name else processor
            for name, processor in unet.attn_processors.items()
        }
    )


class OneToken:
    """Attention to a single token gives its value, whatever the query: a softmax over one is 1.

    Where there are several tokens, `other` attends.
    """

    def __init__(self, other: Any) -> None:
        self._other = other

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """n × 1 × width, which is added to n × tokens × width."""
        if encoder_hidden_states is None or encoder_hidden_states.shape[1] != 1:
            attended: Tensor = self._other(
                attn, hidden_states, encoder_hidden_states, attention_mask
            )
            return attended
        value: Tensor = attn.to_out[0](attn.to_v(encoder_hidden_states))
        return value


# --- convolutions over time ----------------------------------------------------------------------


def _over_time(pipeline: Any) -> Iterator[nn.Conv3d]:
    """The convolutions of a pipeline whose kernels are one pixel high and wide."""
    for module in _modules(pipeline):
        if isinstance(module, nn.Conv3d) and module.kernel_size[1:] == (1, 1):
            yield module


def _convolve_over_time(conv: Any, videos: Tensor) -> Tensor:
    """What `conv` makes of videos (n × channels × frames × height × width), quicker on a CPU.

    It is computed as a convolution over planes of frames × pixels, which PyTorch leaves to oneDNN.
    For such kernels in three dimensions it has a slow loop, on one thread always, else often.
    """
    planes = functional.conv2d(
        videos.flatten(3), conv.weight.squeeze(-1), conv.bias, padding=(conv.padding[0], 0)
    )
    return planes.reshape(*planes.shape[:3], *videos.shape[3:])


# --- what a pipeline need not find out again ------------------------------------------------------


def _remember_answers(pipeline: Any, device: torch.device) -> None:
    """Let a pipeline know on which device it runs, and a video pipeline whether it uses guidance.

    diffusers looks for the device in every layer, once or twice a run, while the card has nothing
    to do: a network of full size has 2,000. A video pipeline compares its guidance scales, which
    are on the card, with 1 twice a step, and each time the processor waits for the card.
    """
    cls = type(pipeline)
    is_of_videos = type(denoiser_of(pipeline)).__name__ == _OF_VIDEOS
    bases = (KnownGuidance, cls) if is_of_videos else (cls,)
    pipeline.__class__ = type(cls.__name__, bases, {"_execution_device": device})


class KnownGuidance:
    """A pipeline that knows whether it uses guidance from when the scale was still a number."""

    guidance_scale: float | Tensor
    _guides = False

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether each step is computed twice, with the condition and without."""
        if not isinstance(self.guidance_scale, Tensor):
            self._guides = self.guidance_scale > 1
        return self._guides


# --- the kernel ---------------------------------------------------------------------------------


@contextmanager
def attention(settings: Acceleration) -> Iterator[None]:
    """Use the configured attention kernel, wherever it serves, until the block ends.

    diffusers' own `set_attention_backend` does nothing to these three denoisers. torch's choice is
    for the whole process, so it lasts until no card's thread is in the block any more.
    """
    if settings.attention == "auto":
        yield
        return
    _CHOSEN.enter(_KERNELS[settings.attention])
    try:
        yield
    finally:
        _CHOSEN.leave()


class _Chosen:
    """The kernel that is in force while any thread is in the block of `attention`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._kernel = ExitStack()

    def enter(self, kernel: SDPBackend) -> None:
        with self._lock:
            if not self._users:
                self._kernel.enter_context(sdpa_kernel([kernel, *_FALLBACKS], set_priority=True))
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._kernel.close()


_CHOSEN = _Chosen()
