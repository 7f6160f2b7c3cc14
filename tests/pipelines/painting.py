"""A small picture by a pipeline of diffusers, quickly, and always the same."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

PROMPT = "a red star on a blue background"


def painted(pipeline: Any) -> NDArray[Any]:
    """The picture: 128 × 128 × 3, 0 to 1."""
    made = pipeline(
        prompt=PROMPT,
        num_inference_steps=2,
        width=128,
        height=128,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    )
    return np.asarray(made.images[0])
