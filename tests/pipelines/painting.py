"""Results for tests: a small picture by a pipeline of diffusers, and what the bot makes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.catalog import Catalog
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.requests import Request
from pipelines.runner import Runner

PROMPT = "a red star on a blue background"


def painted(pipeline: Any) -> NDArray[Any]:
    """The picture, always the same: 128 × 128 × 3, 0 to 1."""
    made = pipeline(
        prompt=PROMPT,
        num_inference_steps=2,
        width=128,
        height=128,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    )
    return np.asarray(made.images[0])


def made(catalog: Catalog, request: Request) -> Artifact:
    """The one artifact of a request, on a CPU."""
    ((artifact,),) = Runner(catalog, device="cpu").run([request], RunContext())
    return artifact
