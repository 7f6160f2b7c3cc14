"""LoRAs for the demo's models: never trained, with an effect all the same."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def sketch_lora(
    models: Path, file: Path, seed: int = 0, targets: tuple[str, ...] = ATTENTION
) -> Path:
    """A LoRA for the demo's SDXL."""
    unet = UNet2DConditionModel.from_pretrained(models / "sdxl" / "unet")
    layers = _layers(unet, seed, targets)
    StableDiffusionXLPipeline.save_lora_weights(
        file.parent, unet_lora_layers=layers, weight_name=file.name
    )
    return file


def imagine_lora(models: Path, file: Path, seed: int = 0) -> Path:
    """A LoRA for the demo's SD3."""
    transformer = SD3Transformer2DModel.from_pretrained(models / "sd3" / "transformer")
    layers = _layers(transformer, seed, ATTENTION)
    StableDiffusion3Pipeline.save_lora_weights(
        file.parent, transformer_lora_layers=layers, weight_name=file.name
    )
    return file


def _layers(denoiser: Any, seed: int, targets: tuple[str, ...]) -> dict[str, torch.Tensor]:
    denoiser.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=list(targets)))
    layers: dict[str, torch.Tensor] = get_peft_model_state_dict(denoiser)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.2 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in layers.items()
    }
