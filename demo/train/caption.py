"""BLIP, which says what a sketch shows."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from demo.shapes import sketches
from demo.shapes.scene import Scene, random_scene
from demo.shapes.sketches import sketch
from demo.shapes.words import caption, vocabulary
from demo.tokenizers import bert_tokenizer
from demo.train.loop import Recipe, fit
from demo.train.room import WORLD, Room
from pipelines.drawing import read_drawing

SKETCHES = 16_000
SIDE = 112
PAPERS = ((384, 384), (384, 384), (480, 320), (320, 480), (512, 288))  # drawings' sizes
BATCH = 32
WIDTH = 96
SPREAD = WIDTH**-0.5
"""The deviation of what weights begin at; the usual 0.02 is for models eight times as wide."""
RECIPE = Recipe(steps=14000, rate=8e-4, average=0.998)


def build_captioner() -> tuple[Any, Any]:
    """An untrained BlipForConditionalGeneration, and its processor."""
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    tokenizer = bert_tokenizer(vocabulary())
    number = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "encoder_hidden_size": WIDTH,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
        "bos_token_id": number("[DEC]"),
        "eos_token_id": number("[SEP]"),
        "sep_token_id": number("[SEP]"),
        "pad_token_id": number("[PAD]"),
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": SPREAD,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": 14,
        "initializer_range": SPREAD,  # of places, which otherwise begin as all the same
    }
    model = BlipForConditionalGeneration(
        BlipConfig(
            text_config=text,
            vision_config=vision,
            initializer_range=SPREAD,
            label_smoothing=0.0,
        )
    )
    # White paper is nothing, so that lines are what a patch is made of, and not a small part of it.
    images = BlipImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=[1.0] * 3, image_std=[0.25] * 3
    )
    return model, BlipProcessor(images, tokenizer)


def train_captioner(model: Any, processor: Any, room: Room) -> None:
    """Train `model` in place, on what the sketch pipeline shows a captioner."""
    count = room.amount(SKETCHES)
    pictures = training_sketches(count, room)
    said = processor.tokenizer(
        [caption(_scene(seed)) for seed in range(count)],
        padding=True,
        return_tensors="pt",
    )
    begin = processor.tokenizer.convert_tokens_to_ids("[DEC]")
    said.input_ids[:, 0] = begin
    mean, spread = (
        torch.tensor(values)[:, None, None]
        for values in (processor.image_processor.image_mean, processor.image_processor.image_std)
    )

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([room.seed, step])
        chosen = np.sort(rng.choice(count, BATCH, replace=False))
        pixels = torch.from_numpy(pictures[chosen]).permute(0, 3, 1, 2) / 255
        words = said.input_ids[chosen].to(room.device)
        seen = said.attention_mask[chosen].to(room.device)
        told: Tensor = model(
            pixel_values=_laid_otherwise((pixels - mean) / spread).to(room.device),
            input_ids=words,
            attention_mask=seen,
            labels=words.masked_fill(seen == 0, -100),
        ).loss
        return told

    fit("caption", model, loss, RECIPE, room)


def _laid_otherwise(papers: Tensor) -> Tensor:
    """The same drawings a little shifted, turned, larger or smaller. White paper is 0."""
    draw = torch.rand(4, len(papers)) * 2 - 1
    turn, scale, shift = 0.06 * draw[0], 1 + 0.08 * draw[1], 0.06 * draw[2:]
    cos, sin = scale * turn.cos(), scale * turn.sin()
    rows = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(rows, list(papers.shape), align_corners=False)
    return nn.functional.grid_sample(papers, grid, align_corners=False)


def training_sketches(count: int, room: Room) -> NDArray[np.uint8]:
    """Drawings of training scenes as the captioner gets them: n × SIDE × SIDE × 3."""

    def make(seeds: range) -> NDArray[np.uint8]:
        return np.stack([_picture(seed) for seed in seeds])

    return room.array("sketches", (count, SIDE, SIDE, 3), make, modules=(*WORLD, sketches))


def _scene(seed: int) -> Scene:
    """Half of the drawings have two figures: which of them is where is hard to learn."""
    return random_scene(seed, free=True, figures=2 if seed % 4 == 0 else None)


def _picture(seed: int) -> NDArray[np.uint8]:
    size = PAPERS[seed % len(PAPERS)]
    picture = read_drawing(sketch(_scene(seed), seed, size=size).image).picture
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
