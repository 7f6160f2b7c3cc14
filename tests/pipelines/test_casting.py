"""SD3's weights in fp8: it computes as diffusers' casting does, where its weights were moved to."""

import numpy as np
import pytest
import torch
from diffusers.hooks import apply_layerwise_casting
from torch import nn

from pipelines.catalog import Catalog, ModelKey
from pipelines.placement import Precision
from pipelines.weights import Weights
from tests.pipelines.painting import loaded, painted

CPU = torch.device("cpu")


def storages(network: nn.Module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}


def test_it_computes_what_diffusers_computes(catalog: Catalog) -> None:
    ours, theirs = (
        loaded(catalog, ModelKey.IMAGINE, Precision.FP8),
        loaded(catalog, ModelKey.IMAGINE, Precision.FULL),
    )
    apply_layerwise_casting(
        theirs.transformer,
        storage_dtype=torch.float8_e4m3fn,
        compute_dtype=torch.float32,
        skip_modules_pattern=("pos_embed", "time_text_embed", "norm_out", "^proj_out$"),
    )
    assert np.array_equal(painted(ours), painted(theirs))
    assert ours.transformer.dtype == torch.float32
    types = {name: tensor.dtype for name, tensor in ours.transformer.state_dict().items()}
    assert types == {name: each.dtype for name, each in theirs.transformer.state_dict().items()}


def test_weights_stay_in_the_blocks_that_they_were_moved_in(catalog: Catalog) -> None:
    pipeline = loaded(catalog, ModelKey.IMAGINE, Precision.FP8)
    weights = Weights([pipeline.transformer], CPU, packed=True, block=2**18)
    homes = storages(pipeline.transformer)
    weights.move_in()
    there = storages(pipeline.transformer)
    assert len(there) == len(homes) > 1
    assert not there & homes
    painted(pipeline)
    assert storages(pipeline.transformer) == there
    with pytest.raises(RuntimeError):  # as where memory runs out
        pipeline.transformer.transformer_blocks[0].attn.to_q(torch.zeros(1, 3))
    assert storages(pipeline.transformer) == there
    weights.move_out()
    assert storages(pipeline.transformer) == homes
