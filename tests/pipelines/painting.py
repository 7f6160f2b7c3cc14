"""Results for tests: a small picture by a pipeline of diffusers, and what the bot makes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.requests import Request
from pipelines.loading import Loader
from pipelines.plan import Precision
from pipelines.runner import LOADERS, Runner

PROMPT = "a red star on a blue background"


def loaded(catalog: Catalog, key: ModelKey, precision: Precision = Precision.FULL) -> Any:
    """The pipeline of a model, read for a CPU."""
    loader = Loader(torch.device("cpu"), precision=precision)
    pipeline = LOADERS[key](getattr(catalog, key), loader)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


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
