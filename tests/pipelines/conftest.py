"""What tests of pipelines stand on, beside what all do."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import transformers
from torch import nn

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
