"""Pipelines that are divided, streamed and sparing still make the same pictures."""

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from PIL import Image
from transformers import T5Config, T5EncoderModel

from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.context import RunContext
from pipelines.contract.requests import ImagineRequest
from pipelines.fitting import fit_to, modules_of, stream, streamable
from pipelines.plan import PAINTER, TEXT, TILE, Group, Plan, Precision
from pipelines.runner import Runner
from pipelines.weights import Weights
from tests.pipelines.painting import PROMPT, loaded, painted

CPU = torch.device("cpu")


def plan(**settings: Any) -> Plan:
    return Plan({PAINTER: Group(0, 0)}, **settings)


def clip(pipeline: Any) -> np.ndarray[Any, Any]:
    torch.manual_seed(0)
    frames = pipeline(
        Image.new("RGB", (128, 128), "orange"),
        width=128,
        height=128,
        num_frames=4,
        num_inference_steps=2,
        decode_chunk_size=2,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    ).frames[0]
    return np.asarray(frames)


def test_the_bot_paints_what_diffusers_paints(catalog: Catalog) -> None:
    model = catalog.imagine
    assert model is not None
    (made,) = Runner(catalog, device="cpu").run(
        [ImagineRequest(prompt=PROMPT, negative="dark", seed=3)], RunContext()
    )[0]
    stock = loaded(catalog, ModelKey.IMAGINE)(
        prompt=PROMPT,
        negative_prompt="dark",
        width=made.width,
        height=made.height,
        num_inference_steps=model.steps,
        guidance_scale=model.guidance,
        max_sequence_length=model.text_tokens,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(made.data))), np.asarray(stock))


@pytest.mark.parametrize(
    ("settings", "forwards", "fed"),
    [
        ({"split_guidance": True}, 2, 2),
        ({"forward_chunk": 2}, 1, 4),  # both halves' frames, two at a time
        ({"split_guidance": True, "forward_chunk": 2}, 2, 4),
        ({"split_guidance": True, "forward_chunk": 1}, 2, 8),
    ],
)
def test_a_sparing_video_pipeline_makes_the_same_frames(
    settings: dict[str, Any], forwards: int, fed: int, catalog: Catalog
) -> None:
    pipeline = loaded(catalog, ModelKey.ANIMATE)
    blocks = [m for m in pipeline.unet.modules() if isinstance(m, BasicTransformerBlock)]
    assert blocks
    rows, calls = [], []
    pipeline.unet.conv_in.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    for block in blocks:
        block.ff.register_forward_hook(lambda *_: calls.append(1))
    before = clip(pipeline)
    assert rows == [8, 8]  # four frames, with guidance, in two steps
    whole = len(calls)
    fit_to(pipeline, plan(**settings))
    after = clip(pipeline)
    assert np.abs(before - after).max() < 2e-4
    assert rows[2:] == [8 // forwards] * 2 * forwards
    assert len(calls) - whole == fed * whole  # a part is some frames, and not a pixel


@pytest.mark.parametrize("key", [ModelKey.SKETCH, ModelKey.IMAGINE])
def test_tiles_are_decoded_where_a_plan_says_so(key: ModelKey, catalog: Catalog) -> None:
    vae = loaded(catalog, key).vae
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    vae.register_to_config(sample_size=1024)  # as SDXL's says, whose pictures are of that size
    vae.tile_sample_min_size, vae.tile_latent_min_size = 1024, 1024 // scale
    tiles = []
    vae.decoder.register_forward_pre_hook(lambda _, given: tiles.append(given[0].shape[-2:]))
    fit_to(SimpleNamespace(vae=vae), plan(tiled=True))
    latents = torch.zeros(1, vae.config.latent_channels, 1024 // scale, 1024 // scale)
    with torch.inference_mode():
        assert vae.decode(latents).sample.shape[-2:] == (1024, 1024)
    assert len(tiles) == 9
    assert max(max(tile) for tile in tiles) * scale == TILE


@pytest.mark.parametrize(
    ("key", "group", "precision", "make"),
    [
        (ModelKey.IMAGINE, TEXT, Precision.FULL, painted),
        (ModelKey.IMAGINE, PAINTER, Precision.FULL, painted),
        (ModelKey.IMAGINE, PAINTER, Precision.FP8, painted),
        (ModelKey.IMAGINE, PAINTER, Precision.FP8_FAST, painted),
        (ModelKey.IMAGINE, PAINTER, Precision.NF4, painted),
        (ModelKey.ANIMATE, PAINTER, Precision.FULL, clip),
    ],
)
def test_a_streamed_group_computes_the_same_from_the_blocks_it_was_packed_into(
    key: ModelKey,
    group: str,
    precision: Precision,
    make: Callable[[Any], np.ndarray[Any, Any]],
    catalog: Catalog,
) -> None:
    pipeline = loaded(catalog, key, precision)
    before = make(pipeline)
    modules = streamable(modules_of(pipeline, group))
    weights = Weights([], CPU, streamed=modules, packed=True)
    tensors = [tensor for module in modules for tensor in module.parameters()]
    homes = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    assert len(homes) == 1
    stream(modules, CPU)
    assert np.abs(before - make(pipeline)).max() < 1e-5
    weights.move_out()  # what was cast is whole again
    assert {tensor.untyped_storage().data_ptr() for tensor in tensors} == homes


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_what_is_streamed_is_pinned_once() -> None:
    card = torch.device("cuda")
    network = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4)))
    given = torch.randn(2, 64)
    with torch.inference_mode():
        expected = network(given)
    Weights([], card, streamed=[network])
    homes = [weights.data_ptr() for weights in network.parameters()]
    stream([network], card)
    for _ in range(3):  # in the first, diffusers sees in what order layers are called
        with torch.inference_mode():
            assert torch.allclose(network(given.to(card)).cpu(), expected, atol=1e-4)
        assert [weights.data_ptr() for weights in network.parameters()] == homes


def test_what_is_streamed_comes_in_small_parts() -> None:
    """A text encoder has its layers in a list that is not its own."""
    encoder = T5EncoderModel(
        T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=12)
    )
    whole = sum(weights.numel() for weights in encoder.parameters())
    stream([encoder], CPU)
    groups = [
        hook.group
        for module in encoder.modules()
        if (registry := getattr(module, "_diffusers_hook", None)) is not None
        for hook in registry.hooks.values()
        if hasattr(hook, "group")
    ]
    largest = max(
        sum(weights.numel() for module in group.modules for weights in module.parameters())
        for group in groups
    )
    assert len(groups) > 12
    assert largest < 0.05 * whole
