"""Text encoders as the pipelines call them, trained together with what they steer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from demo.shapes.scene import random_scene
from demo.shapes.words import prompt, vocabulary
from demo.tokenizers import clip_tokenizer
from demo.train.room import Room
from demo.train.vae import Bucket

CLIP_TOKENS = 77
WIDTH = 64  # of each CLIP text model


def build_clip(model: Any, tokenizer: Any) -> Any:
    """A small text encoder, `model` being CLIPTextModel or CLIPTextModelWithProjection."""
    from transformers import CLIPTextConfig

    return model(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=CLIP_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_clip_tokenizers() -> tuple[Any, Any]:
    """The two of SDXL and SD3.5, which differ in what they pad with."""
    words = vocabulary()
    return clip_tokenizer(words), clip_tokenizer(words, pad="!")


class Clips(nn.Module):
    """Both CLIP text encoders of a pipeline, and their tokenizers."""

    def __init__(self, encoders: Sequence[Any], tokenizers: Sequence[Any]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.tokenizers = tokenizers

    def forward(self, prompts: list[str]) -> tuple[Tensor, list[Tensor]]:
        """The last but one hidden states side by side (n × 77 × 2·WIDTH), and what is pooled."""
        hidden, pooled = [], []
        for encoder, tokenizer in zip(self.encoders, self.tokenizers, strict=True):
            ids = tokenizer(
                prompts,
                padding="max_length",
                max_length=CLIP_TOKENS,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            said = encoder(ids.to(next(encoder.parameters()).device), output_hidden_states=True)
            hidden.append(said.hidden_states[-2])
            pooled.append(said[0])
        return torch.cat(hidden, dim=-1), pooled


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pictures of one bucket, by their places in it, and a prompt for each."""

    bucket: Bucket
    places: list[int]
    prompts: list[str]

    @property
    def latents(self) -> Tensor:
        """Of the pictures, scaled."""
        return self.bucket.latents[self.places]


class Batches:
    """Which pictures a step sees, and what is said of them: other words every time."""

    def __init__(self, buckets: list[Bucket], size: int, room: Room) -> None:
        self._buckets = buckets
        self._scenes = [[random_scene(seed) for seed in bucket.seeds] for bucket in buckets]
        self._size = size
        self._seed = room.seed

    def draw(self, step: int) -> Batch:
        """The batch of a step. Each bucket comes as often as it has pictures."""
        rng = random.Random(f"{self._seed} batch {step}")
        sizes = [len(scenes) for scenes in self._scenes]
        number = rng.choices(range(len(sizes)), weights=sizes)[0]
        places = [rng.randrange(sizes[number]) for _ in range(self._size)]
        prompts = [prompt(self._scenes[number][place], rng) for place in places]
        return Batch(self._buckets[number], places, prompts)


def kept(size: int, share: float, room: Room) -> Tensor:
    """1 for what is kept and 0 for what is dropped, so that guidance has something to compare."""
    return (torch.rand(size, device=room.device) >= share).float()
