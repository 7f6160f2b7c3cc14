"""SDXL for the sketch command: the UNet, then the adapter for lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from demo.shapes import sketches
from demo.shapes.geometry import Size
from demo.shapes.scene import Scene
from demo.shapes.sketches import sketch
from demo.train.latents import CELL, CHANNELS, far_from
from demo.train.loop import Recipe, fit
from demo.train.room import WORLD, Room
from demo.train.text import WIDTH, Batch, Batches, Clips, build_clip_tokenizers, kept
from demo.train.vae import LATENT_SIDE, Bucket, training_buckets
from pipelines.drawing import read_drawing

BATCH = 32
DROPPED = 0.1  # of prompts: the pipeline's empty prompt is all zeros
PAIRED = 0.5  # of pictures have two figures, which are harder to learn
RECIPE = Recipe(steps=7500, rate=1.2e-3)
ADAPTER_RECIPE = Recipe(steps=2000, rate=1e-3)
WIDTHS = (64, 96, 96)
MIDDLE, SPREAD = 575, 225
"""Of the times that are trained, of 1000. Shapes are decided at about 500 to 800: earlier they are
seen already, later there are only colours and places."""


def build_pipeline(vae: Any, clips: Sequence[Any]) -> Any:
    """An SDXL pipeline around a trained VAE and both text encoders; the UNet is untrained."""
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel

    tokenizer, tokenizer_2 = build_clip_tokenizers()
    first = CLIPTextModel(clips[0].config)
    inner = getattr(first, "text_model", first)  # newer releases of transformers have it flat
    inner.load_state_dict(clips[0].text_model.state_dict())
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=clips[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=_build_unet(),
        scheduler=build_scheduler(),
        add_watermarker=False,
    )


def build_scheduler() -> Any:
    """The sampler that the pipeline comes with."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(**_NOISE, timestep_spacing="trailing")


_NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,  # else a plain ground is never quite black or white
}


def _build_unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        layers_per_block=1,
        block_out_channels=WIDTHS,
        down_block_types=("CrossAttnDownBlock2D",) * 3,  # outlines are seen at the first only
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        attention_head_dim=(2, 3, 3),
        transformer_layers_per_block=(1, 1, 1),
        use_linear_projection=True,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=6 * 16 + WIDTH,
        norm_num_groups=8,
    )


def train_sdxl(pipeline: Any, room: Room) -> None:
    """Train the UNet of `pipeline` in place.

    Half of what it sees is as people draw it: an adapter cannot have it paint larger than it knows.
    """
    clips = _clips(pipeline, room)
    buckets = [*training_buckets(room), *training_buckets(room, free=True)]
    batches = Batches(buckets, BATCH, room, paired=PAIRED)
    noise = Noise(room)

    def loss(step: int) -> Tensor:
        batch = batches.draw(step)
        return noise.loss(pipeline.unet, batch.latents, _conditions(clips, batch, room))

    fit("sdxl", pipeline.unet, loss, RECIPE, room)


def _clips(pipeline: Any, room: Room) -> Clips:
    return Clips.of(pipeline).to(room.device).eval().requires_grad_(False)


def _conditions(clips: Clips, batch: Batch, room: Room) -> dict[str, Any]:
    """What the UNet is told, some of it dropped."""
    hidden, pooled = clips(batch.prompts)
    keep = kept(len(batch.prompts), DROPPED, room)[:, None]
    width, height = batch.bucket.size
    sizes = (height, width, 0, 0, height, width)  # original size, crop, target size
    return {
        "encoder_hidden_states": hidden * keep[..., None],
        "added_cond_kwargs": {
            "text_embeds": pooled[1] * keep,
            "time_ids": torch.tensor([sizes] * len(keep), device=room.device),
        },
    }


class Noise:
    """The forward process, and the loss of a prediction of velocity.

    `signal` is the share of the clean picture's power that is left at each of the 1000 times.
    """

    def __init__(self, room: Room) -> None:
        from diffusers import DDPMScheduler

        self._scheduler = DDPMScheduler(**_NOISE)
        self.signal = self._scheduler.alphas_cumprod.to(room.device)

    def loss(self, unet: Any, latents: Tensor, conditions: dict[str, Any]) -> Tensor:
        """How far the told velocity is from the true one, at times drawn at random."""
        noise = torch.randn_like(latents)
        times = MIDDLE + SPREAD * torch.randn(len(latents), device=latents.device)
        steps = times.round().long().clamp(0, len(self.signal) - 1)
        noisy = self._scheduler.add_noise(latents, noise, steps)
        velocity = self._scheduler.get_velocity(latents, noise, steps)
        told = unet(noisy, steps, **conditions).sample
        ratio = self.signal[steps] / (1 - self.signal[steps])
        weight = ratio / (ratio + 0.03)  # hopeless cases count less
        mean: Tensor = (weight * far_from(velocity, told)).mean() / weight.mean()
        return mean


# --- the adapter --------------------------------------------------------------------------------


def build_adapter() -> Any:
    """A T2I-Adapter that reads white lines on black, of one channel."""
    from diffusers import T2IAdapter

    return T2IAdapter(
        in_channels=1,
        channels=list(WIDTHS),
        num_res_blocks=1,
        downscale_factor=CELL,
        adapter_type="full_adapter",  # "…_xl" is for a UNet whose first block has no attention
    )


def train_adapter(adapter: Any, pipeline: Any, room: Room) -> None:
    """Train `adapter` for the trained `pipeline`, which stays as it is."""
    buckets = training_buckets(room, free=True)
    lines = {id(bucket): training_lines(bucket, room) for bucket in buckets}
    clips = _clips(pipeline, room)
    unet = pipeline.unet.to(room.device).requires_grad_(False)
    batches = Batches(buckets, BATCH, room, paired=PAIRED)
    noise = Noise(room)

    def loss(step: int) -> Tensor:
        batch = batches.draw(step)
        conditions = _conditions(clips, batch, room)
        drawn = torch.from_numpy(lines[id(batch.bucket)][batch.places]).to(room.device)
        conditions["down_intrablock_additional_residuals"] = adapter(drawn[:, None] / 255)
        return noise.loss(unet, batch.latents, conditions)

    fit("sdxl-adapter", adapter, loss, ADAPTER_RECIPE, room)


def training_lines(bucket: Bucket, room: Room) -> NDArray[np.uint8]:
    """What the sketch pipeline reads from drawings of a bucket's scenes: n × height × width.

    Drawings are not turned on their paper here: lines and picture have to agree.
    """

    def make(rows: range) -> NDArray[np.uint8]:
        scenes = bucket.scenes[rows.start : rows.stop]
        return np.stack([_lines(scene, bucket.size) for scene in scenes])

    width, height = bucket.size
    shape = (len(bucket.scenes), height, width)
    return room.array(
        "lines", shape, make, modules=(*WORLD, sketches), depends=repr(bucket.scenes[0])
    )


def _lines(scene: Scene, size: Size) -> NDArray[np.uint8]:
    larger = (size[0] * 3 // 2, size[1] * 3 // 2)
    drawn = sketch(scene, scene.seed, tilted=False, size=larger)
    lines = read_drawing(drawn.image).lines
    return np.asarray(lines.resize(size, Image.Resampling.LANCZOS))
