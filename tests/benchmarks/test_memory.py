from typing import Any

import pytest
import torch

from benchmarks import memory
from benchmarks._bench import FULL, KEYS
from benchmarks._full_size import build
from pipelines.catalog import ImagineModel, ModelKey, SketchModel
from pipelines.placement import plan_model
from pipelines.plan import GIB, PAINTER, TEXT, Card
from pipelines.quantised import quantise_to_fp8

MIB = 2**20
_aten = torch.ops.aten


def test_what_is_allocated_is_counted_until_it_is_freed() -> None:
    with memory.Taken() as taken:
        first = torch.zeros(MIB, dtype=torch.uint8)
        second = first.view(2, -1)[0] + 1  # a view takes nothing
        assert taken.peak == 1.5 * MIB
        del first, second
        third = torch.ones(MIB, dtype=torch.uint8)
        third.add_(1)
        assert taken.peak == 1.5 * MIB
        fourth = torch.ones_like(third)
        assert taken.peak == 2 * MIB
    assert fourth.numel() == MIB


def test_weights_that_were_there_are_not_counted() -> None:
    layer = torch.nn.Linear(256, 256, bias=False)
    with torch.inference_mode(), (taken := memory.Taken()):
        taken.know(layer)
        layer.weight.add_(1)
        layer(torch.zeros(1, 256))
    assert taken.peak == 2 * 4 * 256


@pytest.mark.parametrize("key", KEYS)
def test_plans_keep_enough_free_for_models_of_full_size(
    key: ModelKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CARDS", (6, 8, 80))
    rows = dict(memory.rows(key))
    for row in rows.values():
        assert 0.3 < row.taken < 0.9  # libraries and gaps want the rest
        assert row.work <= memory.GOAL
    assert rows[80].work == 1
    assert rows[80].run[memory.STEP].peak > 0.3 * GIB


@pytest.mark.parametrize("gib", [6, 80])
def test_so_do_they_where_an_autoencoder_is_cast_to_decode(gib: int) -> None:
    """SDXL's own, beside which its copy in float16 stays."""
    card = Card("cuda", budget=gib * GIB)
    plan = plan_model(ModelKey.SKETCH, SketchModel(source="a/b"), card)
    vae = build(ModelKey.SKETCH, memory.META, torch.float32).vae
    cast = sum(weights.nbytes for weights in vae.parameters())
    with memory.META, torch.inference_mode(), (taken := memory.Taken()):
        taken.know(vae)
        vae.decode(torch.empty(1, 4, 128, 128))
    assert 0.5 < (taken.peak + cast) / plan.groups[PAINTER].working < 0.9


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("precision", ["full", "fp8"])
def test_so_do_they_for_what_reads_prompts_in_any_type(dtype: str, precision: str) -> None:
    """transformers reads T5's `wo` in float32 where float16 is asked for."""
    model = ImagineModel(source="a/b", dtype=dtype, text_precision=precision)
    group = plan_model(ModelKey.IMAGINE, model, Card("cuda")).groups[TEXT]
    pipeline = build(ModelKey.IMAGINE, memory.META, getattr(torch, dtype))
    parts = [pipeline.text_encoder, pipeline.text_encoder_2, t5 := pipeline.text_encoder_3]
    with memory.META:
        for name, layer in t5.named_modules():
            if dtype == "float16" and name.endswith(".wo"):
                layer.weight = torch.nn.Parameter(layer.weight.float())
        if precision == "fp8":
            quantise_to_fp8(t5)
        taken = memory.Taken()
        for part in parts:
            taken.know(part)
        with torch.inference_mode(), taken:
            t5(memory._tokens(model.text_tokens))
    sizes = {id(t): t.nbytes for part in parts for t in (*part.parameters(), *part.buffers())}
    assert group.kept == pytest.approx(sum(sizes.values()), rel=0.01)
    assert 0.2 < taken.peak / group.working < 0.6


class Apart(memory.Taken):  # type: ignore[no-untyped-call]
    """Counts what attention takes inside, too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in _ATTENTION:
            with self:
                return func.decompose(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)


_ATTENTION = (_aten.scaled_dot_product_attention, _aten._scaled_dot_product_attention_math)


@pytest.mark.parametrize("key", KEYS)
def test_so_do_plans_for_a_card_without_attention_kernels(
    key: ModelKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "Taken", Apart)
    model = getattr(FULL, key).model_copy(update={"dtype": "bfloat16"})
    plan = plan_model(key, model, Card("cuda", capability=(7, 5)))
    run = memory.measure(key, model, plan)
    assert 0.6 < memory.Row(plan, run, work=1).taken < 0.9
