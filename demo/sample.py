"""The drawing that the demo's member uploads."""

import math
import random

from PIL import Image, ImageDraw


def draw_sample(size: int = 512, seed: int = 4) -> Image.Image:
    """A heart as a person draws it: one open, wobbly stroke of varying width on white paper."""
    scale = 4  # drawn large and reduced, for smooth edges
    image = Image.new("RGB", (size * scale, size * scale), "white")
    pen = ImageDraw.Draw(image)
    rng = random.Random(seed)
    for step in range(1, 391):  # the stroke does not quite close
        angle = math.tau * step / 400 + 0.1
        x = 16 * math.sin(angle) ** 3
        y = 13 * math.cos(angle) - 5 * math.cos(2 * angle) - 2 * math.cos(3 * angle)
        y -= math.cos(4 * angle)
        wobble = 0.25 * math.sin(angle * 5 + seed) + 0.12 * math.sin(angle * 11)
        centre = (size * (0.5 + (x + wobble) / 42), size * (0.48 - (y + wobble) / 42))
        radius = size * (0.011 + 0.003 * math.sin(angle * 3) + 0.001 * rng.random())
        pen.ellipse(
            [scale * (c + sign * radius) for sign in (-1, 1) for c in centre], fill=(32, 32, 40)
        )
    return image.resize((size, size), Image.Resampling.LANCZOS)
