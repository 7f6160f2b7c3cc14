"""SD3's weights in fp8 and in nf4: near to the whole ones, wherever they are."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from diffusers.hooks import apply_layerwise_casting
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipelines import imagine, quantised
from pipelines.catalog import Catalog, ModelKey
from pipelines.loading import Loader
from pipelines.plan import Precision
from pipelines.quantised import (
    FP8,
    Fp8Linear,
    Nf4Linear,
    can_multiply,
    is_accurate,
    quantise_to_fp8,
    quantise_to_nf4,
    to_fp8,
    to_nf4,
)
from pipelines.weights import Weights
from tests.pipelines.painting import PROMPT, loaded, painted

CPU = torch.device("cpu")
FP16 = torch.float16
U8 = torch.uint8


Keep = Callable[[nn.Module], None]
KEEPING: list[Keep] = [
    quantise_to_fp8,
    partial(quantise_to_fp8, multiplying=True),
    partial(quantise_to_nf4, device=CPU),
]


def storages(network: nn.Module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}


def multiplying(catalog: Catalog) -> Any:
    """A pipeline that multiplies in fp8, and computes in bfloat16 besides, as on a card."""
    pipeline = loaded(catalog, ModelKey.IMAGINE, Precision.FULL).to(dtype=torch.bfloat16)
    quantise_to_fp8(pipeline.transformer, multiplying=True)
    return pipeline


@given(largest=st.floats(1e-30, 1e30), seed=st.integers(0, 99))
def test_numbers_of_any_size_keep_their_first_bits(largest: float, seed: int) -> None:
    numbers = torch.randn(64, 16, generator=torch.Generator().manual_seed(seed)) * largest
    kept, scale = to_fp8(numbers)
    assert kept.dtype == FP8
    restored = kept.double() * scale
    assert (restored - numbers).norm() < 0.04 * numbers.double().norm()


def test_nothing_stays_nothing() -> None:
    kept, scale = to_fp8(torch.zeros(4, 4))
    assert not (kept.float() * scale).any()


def test_weights_as_small_as_a_large_networks_are_nearer_than_diffusers_casts_them() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2432, 64)  # as wide as SD3.5 Large's are
    nn.init.normal_(layer.weight, std=0.01)
    ours, fast, four, theirs = (nn.Sequential(deepcopy(layer)) for _ in range(4))
    for keep, network in zip(KEEPING, (ours, fast, four), strict=True):
        keep(network)
    apply_layerwise_casting(theirs, storage_dtype=FP8, compute_dtype=torch.float32)
    rows = torch.randn(32, 2432)
    with torch.inference_mode():
        true = layer(rows)
        off = [
            float((network(rows) - true).norm() / true.norm())
            for network in (ours, fast, four, theirs)
        ]
    assert off[0] < 0.03
    assert off[1] < 0.045
    assert off[2] < 0.1
    assert off[0] < 0.5 * off[3]


@given(largest=st.floats(1e-30, 1e30), seed=st.integers(0, 99))
def test_four_bits_are_the_nearest_there_is(largest: float, seed: int) -> None:
    numbers = torch.randn(3, 70, generator=torch.Generator().manual_seed(seed)) * largest
    kept, scales = to_nf4(numbers)  # 210 numbers: the last block is not full
    assert (kept.dtype, len(kept), scales.shape) == (U8, 128, (4, 1))
    codes = torch.stack([kept // 16, kept % 16], 1).flatten().long()
    blocks = nn.functional.pad(numbers.flatten(), (0, 46)).view(4, 64)
    told = quantised._NF4[codes].view(4, 64) * scales
    nearest = (blocks[..., None] - quantised._NF4 * scales[..., None]).abs().amin(-1)
    assert torch.allclose((told - blocks).abs(), nearest, atol=1e-5 * largest)
    assert (told - blocks).double().norm() < 0.12 * blocks.double().norm()


def test_the_largest_and_nothing_are_kept_as_they_are_in_four_bits() -> None:
    """A layer of ones, zeros and their opposites computes what it did."""
    layer = nn.Linear(96, 65)  # of which the last block is not full
    layer.weight.data = torch.randint(-1, 2, (65, 96)).float() * 0.25
    layer.weight.data[:, 0] = 0.25
    rows = torch.randn(8, 96)
    with torch.inference_mode():
        true = layer(rows)
        quantise_to_nf4(nn.Sequential(layer), CPU)
        assert torch.allclose(layer(rows), true, atol=1e-5)


@pytest.mark.parametrize(("precision", "dtype"), [(Precision.FP8, FP8), (Precision.NF4, U8)])
def test_weights_are_kept_in_less_and_biases_as_they_are(
    catalog: Catalog, precision: Precision, dtype: torch.dtype
) -> None:
    transformer = loaded(catalog, ModelKey.IMAGINE, precision).transformer
    assert transformer.dtype == torch.float32
    types = {name: tensor.dtype for name, tensor in transformer.state_dict().items()}
    kept = {name for name, its in types.items() if its == dtype}
    layers = {name for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear)}
    whole = {name for name in layers if re.match("time_text_embed|norm_out|proj_out", name)}
    assert whole
    assert kept == {f"{name}.kept" for name in layers - whole}


def test_a_prompt_is_read_nearly_the_same_by_a_t5_in_fp8(catalog: Catalog) -> None:
    """T5 would round what it is given to the type of some of its weights."""
    assert catalog.imagine is not None
    whole, kept = (
        imagine.load(catalog.imagine, Loader(CPU, text_precision=precision))
        for precision in (Precision.FULL, Precision.FP8)
    )
    sizes = [Weights([pipeline.text_encoder_3], CPU).size for pipeline in (whole, kept)]
    assert sizes[1] < 0.4 * sizes[0]  # of float32; embeddings stay
    assert kept.text_encoder_3.dtype == torch.float32
    true, told = (
        pipeline._get_t5_prompt_embeds(PROMPT, max_sequence_length=32) for pipeline in (whole, kept)
    )
    assert 0 < (told - true).norm() < 0.05 * true.norm()
    assert 0 < np.abs(painted(kept) - painted(whole)).mean() < 0.01


def test_t5_which_takes_ram_of_its_own_is_made_less_before_a_transformer_that_is_mapped(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert catalog.imagine is not None
    kept: list[str] = []
    monkeypatch.setattr(
        imagine, "quantise_to_fp8", lambda network, **_: kept.append(type(network).__name__)
    )
    imagine.load(catalog.imagine, Loader(CPU, None, Precision.FP8, Precision.FP8))
    assert kept == ["T5EncoderModel", "SD3Transformer2DModel"]


@pytest.mark.parametrize("precision", [Precision.FP8, Precision.NF4])
def test_a_cpu_reads_in_half_the_width_what_it_then_keeps_in_less(
    precision: Precision, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 SD3.5 would take 52 GiB for a moment."""
    assert catalog.imagine is not None
    read: dict[str, torch.dtype] = {}
    for name, keep in (("quantise_to_fp8", quantise_to_fp8), ("quantise_to_nf4", quantise_to_nf4)):

        def watched(network: Any, *args: Any, keep: Any = keep, **kwargs: Any) -> None:
            read[type(network).__name__] = network.dtype
            keep(network, *args, **kwargs)

        monkeypatch.setattr(imagine, name, watched)
    pipeline = imagine.load(catalog.imagine, Loader(CPU, None, precision, Precision.FP8))
    assert read == dict.fromkeys(("T5EncoderModel", "SD3Transformer2DModel"), torch.bfloat16)
    for network in (pipeline.text_encoder, pipeline.text_encoder_3, pipeline.transformer):
        types = {tensor.dtype for tensor in network.state_dict().values()}
        assert types <= {torch.float32, FP8, torch.uint8, torch.int64}
    assert np.abs(painted(pipeline)).max() > 0


def test_what_transformers_keeps_in_float32_computes_so_in_fp8_too(models: Path) -> None:
    """T5's products may be larger than float16 can hold, which old cards are advised."""
    whole, kept = (
        transformers.T5EncoderModel.from_pretrained(models / "sd3/text_encoder_3", dtype=FP16)
        for _ in range(2)
    )
    quantise_to_fp8(kept)
    wide = {name for name, layer in whole.named_modules() if is_wide(layer)}
    assert wide and all(name.endswith(".wo") for name in wide)
    for name in wide:
        layer = kept.get_submodule(name)
        assert layer.kept.dtype is FP8
        large = torch.full((1, layer.in_features), 60_000.0, dtype=FP16)
        with torch.inference_mode():
            made = layer(large)
            true = whole.get_submodule(name)(large.float())
        assert made.dtype is torch.float32 and made.abs().max() > torch.finfo(FP16).max
        assert (made - true).norm() < 0.05 * true.norm()
    tokens = torch.arange(1, 9)[None]
    with torch.inference_mode():
        told, true = (model(tokens).last_hidden_state.float() for model in (kept, whole))
    assert (told - true).norm() < 0.1 * true.norm()


def is_wide(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and layer.weight.dtype is torch.float32


@pytest.mark.parametrize("precision", [Precision.FP8, Precision.NF4])
def test_weights_stay_in_the_blocks_that_they_were_moved_in(
    catalog: Catalog, precision: Precision
) -> None:
    pipeline = loaded(catalog, ModelKey.IMAGINE, precision)
    weights = Weights([pipeline.transformer], CPU, packed=True, block=2**17)
    homes = storages(pipeline.transformer)
    weights.move_in()
    there = storages(pipeline.transformer)
    assert len(there) == len(homes) > 1
    assert not there & homes
    painted(pipeline)
    assert storages(pipeline.transformer) == there
    weights.move_out()
    assert storages(pipeline.transformer) == homes


def test_a_picture_multiplied_in_fp8_is_nearly_the_same(catalog: Catalog) -> None:
    whole, kept, fast = (
        painted(pipeline)
        for pipeline in (
            loaded(catalog, ModelKey.IMAGINE, Precision.FULL),
            loaded(catalog, ModelKey.IMAGINE, Precision.FP8),
            multiplying(catalog),
        )
    )
    off = np.abs(fast - whole).mean()
    assert 0 < off < 0.1
    assert off > np.abs(kept - whole).mean()


@pytest.mark.parametrize("shape", [(1, 64), (2, 3, 64), (5, 4, 3, 64)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("keep", KEEPING)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_layer_takes_any_shape_and_type(
    shape: tuple[int, ...], bias: bool, keep: Keep, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32, bias=bias, dtype=dtype)
    given_it = torch.randn(shape, dtype=dtype)
    true = layer(given_it).float()
    network = nn.Sequential(layer)
    keep(network)
    assert isinstance(layer, Fp8Linear | Nf4Linear)
    with torch.inference_mode():
        told = network(given_it)
    assert told.dtype == dtype
    assert told.shape == (*shape[:-1], 32)
    assert (told.float() - true).norm() < 0.15 * true.norm()


@pytest.mark.parametrize("keep", KEEPING)
def test_it_can_be_compiled_without_a_break(keep: Keep) -> None:
    network = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 32)).bfloat16()
    keep(network)
    given_it = torch.randn(8, 64, dtype=torch.bfloat16)
    graphs: list[object] = []

    def collect(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    with torch.inference_mode():
        compiled = torch.compile(network, backend=collect, fullgraph=True)
        assert torch.equal(compiled(given_it), network(given_it))
    assert len(graphs) == 1


def test_a_card_multiplies_where_its_units_and_torch_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_accurate(CPU)  # as slowly as it may be
    assert not can_multiply(CPU)
    card = torch.device("cuda", 0)
    tried: list[torch.device] = []

    def answer(device: torch.device) -> bool:
        tried.append(device)
        if len(tried) > 1:
            raise RuntimeError("no kernel image is available")
        return True

    monkeypatch.setattr("pipelines.quantised.is_accurate", answer)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    assert not can_multiply(card)
    assert tried == []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    assert can_multiply(card)
    assert not can_multiply(card)
    assert tried == [card, card]


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_this_card_multiplies_in_fp8_if_it_has_units_for_it() -> None:
    device = torch.device("cuda")
    if torch.cuda.get_device_capability(device) < (8, 9):
        pytest.skip(
            "this card has no units for fp8; on one of compute capability 8.9: pytest -m gpu"
        )
    assert is_accurate(device)
