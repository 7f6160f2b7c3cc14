"""What tests of pipelines stand on, beside what all do."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import transformers
from torch import nn

from demo.sample import draw_sample
from pipelines.catalog import Catalog
from pipelines.runner import Runner

NETWORKS: tuple[type[nn.Module], ...] = (
    diffusers.UNet2DConditionModel,
    diffusers.SD3Transformer2DModel,
    diffusers.UNetSpatioTemporalConditionModel,
    diffusers.T2IAdapter,
    transformers.CLIPTextModelWithProjection,
    transformers.CLIPVisionModelWithProjection,
    transformers.T5EncoderModel,
    transformers.BlipVisionModel,
    transformers.Swin2SRForImageSuperResolution,
)
DECODERS = (diffusers.AutoencoderKL, diffusers.AutoencoderKLTemporalDecoder)


@pytest.fixture(scope="session")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample drawing, a heart of 256 × 256 pixels."""
    path = tmp_path_factory.mktemp("drawings") / "heart.png"
    draw_sample(256).save(path)
    return path


@pytest.fixture(scope="module")
def runner(catalog: Catalog) -> Runner:
    """The demo's models on a CPU. It remembers what it was asked, so each file has its own."""
    return Runner(catalog, device="cpu")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each network was called since this was last cleared."""
    counter: Counter[str] = Counter()

    def counted(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return whole(*args, **kwargs)

        return call

    for network in NETWORKS:
        monkeypatch.setattr(network, "forward", counted(network.__name__, network.forward))
    for decoder in DECODERS:
        monkeypatch.setattr(decoder, "decode", counted(decoder.__name__, decoder.decode))
    return counter
