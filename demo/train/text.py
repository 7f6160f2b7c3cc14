"""Text encoders as the pipelines call them, trained together with what they steer."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from demo.shapes.scene import Scene, random_scene
from demo.shapes.words import prompt, vocabulary
from demo.tokenizers import clip_tokenizer
from demo.train.room import Room

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


class Batches:
    """Which scenes a step sees, and what is said of them."""

    def __init__(self, count: int, size: int, room: Room) -> None:
        self._scenes = [random_scene(seed) for seed in range(count)]
        self._size = size
        self._room = room

    def draw(self, step: int) -> tuple[list[int], list[str]]:
        """The numbers of some scenes, and a prompt for each: other words every time."""
        rng = random.Random(f"{self._room.seed} batch {step}")
        chosen = [rng.randrange(len(self._scenes)) for _ in range(self._size)]
        return chosen, [prompt(self._scenes[i], rng) for i in chosen]

    def scene(self, number: int) -> Scene:
        """The scene with a number that `draw` gave."""
        return self._scenes[number]


def kept(size: int, share: float, room: Room) -> Tensor:
    """1 for what is kept and 0 for what is dropped, so that guidance has something to compare."""
    return (torch.rand(size, device=room.device) >= share).float()
