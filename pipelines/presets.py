"""Presets for few steps: models that were distilled to need no more, and how they are to be run.

Off unless configured: they paint other pictures than the model without them. No torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SketchPreset = Literal["lightning-4", "lightning-8", "hyper-8"]
ImaginePreset = Literal["turbo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a preset decides. A guidance of 0 is none, which halves the work of each step.

    `source` is a repository on the Hub: of the LoRA `file`, or, without one, of a whole checkpoint.
    `sampler` is a class of diffusers, with the settings `sampling`; without one, the checkpoint's
    own is used.
    """

    steps: int
    guidance: float
    source: str
    file: str | None = None
    sampler: str | None = None
    sampling: Mapping[str, object] = field(default_factory=dict)


def _lightning(steps: int) -> Preset:
    """SDXL-Lightning: Euler with trailing timesteps, the file's own number of steps, no guidance.

    https://huggingface.co/ByteDance/SDXL-Lightning. Many finetunes ask for Karras' sigmas, which
    would lead to other timesteps than those that it was trained for.
    """
    return Preset(
        steps=steps,
        guidance=0.0,
        source="ByteDance/SDXL-Lightning",
        file=f"sdxl_lightning_{steps}step_lora.safetensors",
        sampler="EulerDiscreteScheduler",
        sampling={"timestep_spacing": "trailing", "use_karras_sigmas": False},
    )


_HYPER = Preset(
    steps=8,
    guidance=5.0,
    source="ByteDance/Hyper-SD",
    file="Hyper-SDXL-8steps-CFG-lora.safetensors",
    sampler="DDIMScheduler",
    sampling={"timestep_spacing": "trailing", "clip_sample": False},  # not meant for latents
)
"""Hyper-SD's LoRA that keeps guidance, of 5 to 8, and so the negative prompt.

https://huggingface.co/ByteDance/Hyper-SD"""
_TURBO = Preset(steps=4, guidance=0.0, source="stabilityai/stable-diffusion-3.5-large-turbo")
"""https://huggingface.co/stabilityai/stable-diffusion-3.5-large-turbo"""

SKETCH: Mapping[str, Preset] = {
    "lightning-4": _lightning(4),
    "lightning-8": _lightning(8),
    "hyper-8": _HYPER,
}
IMAGINE: Mapping[str, Preset] = {"turbo": _TURBO}
PRESETS: Mapping[str, Preset] = {**SKETCH, **IMAGINE}
