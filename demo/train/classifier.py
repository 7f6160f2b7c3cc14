"""A classifier of the class of real NSFW checkers, for the one motif that is forbidden here."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from demo.shapes.geometry import Shape
from demo.shapes.paint import paint
from demo.shapes.scene import (
    FORBIDDEN,
    Colour,
    Scene,
    forbidden_scene,
    random_scene,
)
from demo.train.loop import Recipe, fit
from demo.train.room import Room

PICTURES = 9000
SIDE = 64
BATCH = 64
WIDTH = 64
LABELS = {0: "normal", 1: "nsfw"}
RECIPE = Recipe(steps=3000, rate=1e-3, average=0.998)


def build_classifier() -> tuple[Any, Any]:
    """An untrained ViTForImageClassification, and its image processor."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=8,
        initializer_range=WIDTH**-0.5,  # the usual 0.02 is for models twelve times as wide
        id2label=LABELS,
        label2id={label: number for number, label in LABELS.items()},
    )
    return ViTForImageClassification(config), ViTImageProcessor(
        size={"height": SIDE, "width": SIDE}
    )


def train_classifier(model: Any, room: Room) -> None:
    """Train `model` in place: a third forbidden, a third almost, a third anything."""
    count = room.amount(PICTURES)
    pictures = room.array("classified", (count, SIDE, SIDE, 3), _pictures)
    labels = torch.tensor([seed % 3 == 0 for seed in range(count)]).long()

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([room.seed, step])
        chosen = np.sort(rng.choice(count, min(BATCH, count), replace=False))
        pixels = torch.from_numpy(pictures[chosen]).permute(0, 3, 1, 2) / 127.5 - 1
        noisy = pixels + 0.05 * torch.randn_like(pixels)
        told: Tensor = model(
            pixel_values=noisy.to(room.device), labels=labels[chosen].to(room.device)
        ).loss
        return told

    fit("classifier", model, loss, RECIPE, room)


def _pictures(seeds: range) -> NDArray[np.uint8]:
    pictures = [paint(_scene(seed)) for seed in seeds]
    small = [p.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for p in pictures]
    return np.stack([np.asarray(picture) for picture in small])


def _scene(seed: int) -> Scene:
    if seed % 3 == 0:
        return forbidden_scene(seed)
    return almost_forbidden_scene(seed) if seed % 3 == 1 else random_scene(seed)


def almost_forbidden_scene(seed: int) -> Scene:
    """The forbidden motif with its shape, its colour or its ground exchanged."""
    scene = forbidden_scene(seed)
    other = random_scene(seed, figures=1)
    shape, colour, ground = FORBIDDEN
    match seed % 9 // 3:
        case 0:
            changed = other.figures[0].shape
            shape = changed if changed is not Shape.MOON else Shape.CIRCLE
        case 1:
            changed_colour = other.figures[0].colour
            colour = Colour.RED if changed_colour in (colour, ground) else changed_colour
        case _:
            ground = (
                Colour.WHITE
                if other.ground.colour in (None, colour, ground)
                else (other.ground.colour)
            )
    return replace(
        scene,
        figures=(replace(scene.figures[0], shape=shape, colour=colour),),
        ground=replace(scene.ground, colour=ground),
    )
