"""What models take: the size of their weights, and their working memory. Pure.

Weights are those of the checkpoint at hand, or of the usual one. Working memory is what the tensors
of the usual architectures take (`python -m benchmarks.memory`), grows with the pixels, and has a
margin for what libraries take beside them. All sizes are bytes.
"""

from collections.abc import Mapping
from dataclasses import replace

from pipelines.catalog import (
    AnimateModel,
    ImagineModel,
    Model,
    ModelKey,
    Network,
    SketchModel,
    UpscaleModel,
)
from pipelines.plan import GIB, PAINTER, TEXT, TILE, Card, Group, Plan, Precision, group_of

USUAL: Mapping[ModelKey, Mapping[str, int]] = {
    ModelKey.SAFETY: {"model": 86_000_000},
    ModelKey.CAPTION: {"model": 470_000_000},
    ModelKey.SKETCH: {
        "text_encoder": 123_000_000,
        "text_encoder_2": 695_000_000,
        "unet": 2_567_000_000,
        "vae": 84_000_000,
        "conditioner": 77_000_000,
    },
    ModelKey.IMAGINE: {
        "text_encoder": 124_000_000,
        "text_encoder_2": 695_000_000,
        "text_encoder_3": 4_762_000_000,
        "transformer": 8_057_000_000,
        "vae": 84_000_000,
    },
    ModelKey.ANIMATE: {
        "image_encoder": 632_000_000,
        "unet": 1_525_000_000,
        "vae": 98_000_000,
    },
    ModelKey.UPSCALE: {"model": 12_200_000},
}
"""Parameters of the parts of the checkpoints that config.example.toml names."""

VAE_CAST = "vae in float32"
"""The key, beside a model's parts, of the copy of its autoencoder that diffusers casts to float32
while it decodes: of one that overflows in float16, as SDXL's own does."""

PRECISION_SETTINGS = {"precision": PAINTER, "text_precision": TEXT}
"""The settings of SD3.5's precisions, and the groups that they are for."""

_LAYERS = {"transformer": 0.985, "text_encoder_3": 0.972}
"""The share of the weights of SD3.5's parts that is in linear layers, to which a precision applies;
embeddings, and other parts, stay as they are."""
_WIDE = {"text_encoder_3": 24 * 4096 * 10240 / 4_762_000_000}
"""The share of a part's weights that transformers keeps in float32 where the others are in float16:
T5's `wo`, whose products are too large."""
_NEVER_STREAMED = ("vae",)  # it is not called as a whole
_MARGIN = 1.5  # GiB at most, for what libraries take beside the tensors
_SCORE = 10
"""Bytes that a score of attention takes where no kernel spares it: torch computes it in float32,
and holds two and a half for each at its most (`pytest tests/benchmarks/test_memory.py`)."""


def width_of(model: Model) -> int:
    """The bytes of a weight in a model's type."""
    return 4 if model.dtype == "float32" else 2


def has_attention_kernels(model: Model, card: Card) -> bool:
    """Whether torch has attention kernels for a model's type: old cards have none for bfloat16."""
    return model.dtype != "bfloat16" or card.capability is None or card.capability >= (8, 0)


def usual_weights(key: ModelKey, model: Model) -> dict[str, int]:
    """The weights by part, and VAE_CAST, of the usual checkpoint for a model's settings."""
    left_out = {"conditioner"} if getattr(model, "conditioner", None) is None else set()
    usual = USUAL[key].items()
    sizes = {part: width_of(model) * count for part, count in usual if part not in left_out}
    if isinstance(model, SketchModel) and model.vae is None and model.dtype == "float16":
        sizes[VAE_CAST] = 4 * USUAL[key]["vae"]
    return sizes


def group_weights(model: Model, card: Card, weights: Mapping[str, int]) -> dict[str, Group]:
    """The groups of a model without working memory, in the precisions that its owner configured.

    `weights` are those of its parts, in the model's type. A CPU computes in float32.
    """
    groups: dict[str, Group] = {}
    width = 4 if card.kind == "cpu" else width_of(model)
    for part, size in weights.items():
        group = groups.get(name := group_of(part), Group(0, 0))
        parameters = size // width_of(model)
        layer_parameters = round(parameters * _LAYERS.get(part, 0.0))
        wider = 0
        if model.dtype == "float16" and width == 2:
            wider = round(2 * parameters * _WIDE.get(part, 0.0))
        groups[name] = replace(
            group,
            weights=group.weights + width * parameters + wider,
            unstreamed=group.unstreamed + width * parameters * (part in _NEVER_STREAMED),
            layers=group.layers + width * layer_parameters + wider,
            layer_parameters=group.layer_parameters + layer_parameters,
        )
    if isinstance(model, ImagineModel):
        for setting, name in PRECISION_SETTINGS.items():
            precision = getattr(model, setting)
            if precision not in ("auto", "full") and groups[name].layers:  # a model may lack T5
                groups[name] = replace(groups[name], precision=Precision(precision))
    return groups


def working_memory(model: Model, plan: Plan, card: Card) -> dict[str, int]:
    """The working memory of each group's turn, as `plan` has the model computed."""
    if isinstance(model, UpscaleModel):
        return {PAINTER: _room(0.75 * ((plan.tile or model.tile) / 256) ** 2)}
    if isinstance(model, Network):
        return {PAINTER: _room(0.1)}
    step, decode = _tensors(model, plan)
    painting = max(_room(step), _room(decode))
    if not has_attention_kernels(model, card):
        stepping, decoding = (_SCORE * scores for scores in _scores(model, plan))
        painting = max(_room(step) + stepping, _room(decode), decoding)
    precision = plan.groups[TEXT].precision if TEXT in plan.groups else Precision.FULL
    reading = 0.05 if precision is Precision.FULL else 0.2  # T5's largest layer is cast to float32
    return {TEXT: _room(reading), PAINTER: painting}


def _room(tensors: float) -> int:
    """The bytes to keep free for `tensors` GiB of tensors: libraries take more beside them."""
    return round((tensors + min(2 * tensors, _MARGIN)) * GIB)


def _tensors(model: SketchModel | ImagineModel | AnimateModel, plan: Plan) -> tuple[float, float]:
    """The GiB that the tensors of a step, and of decoding, take beside the weights."""
    if isinstance(model, AnimateModel):
        pixels = model.width * model.height / (1024 * 576)
        step = 2.1 if plan.forward_chunk else 3.7 if plan.split_guidance else 7.7
        step *= pixels * model.frames / 25
        return step, 1.125 * pixels * min(plan.decode_chunk or model.decode_chunk, model.frames)
    pixels = model.size**2 / 1024**2
    step = pixels * (0.31 if isinstance(model, SketchModel) else 0.5)
    decode = 1.5 * (min(pixels, (TILE / 1024) ** 2) if plan.tiled else pixels)
    if plan.vae_cast:
        decode = 2 * decode + plan.vae_cast / GIB
    return step, decode


def _scores(model: SketchModel | ImagineModel | AnimateModel, plan: Plan) -> tuple[int, int]:
    """The scores of the largest attention in a step, and in decoding: batch × heads × tokens²."""
    if isinstance(model, AnimateModel):
        frames = min(plan.decode_chunk or model.decode_chunk, model.frames)
        tokens = (model.width // 8) * (model.height // 8)
        heads = 5 * model.frames * (1 if plan.split_guidance else 2)
        return heads * tokens**2, frames * tokens**2
    decoded = min(TILE, model.size) if plan.tiled else model.size
    tokens, heads = (model.size // 16) ** 2, 10
    if isinstance(model, ImagineModel):
        tokens, heads = tokens + 77 + model.text_tokens, 38  # CLIP's words, and T5's
    return heads * (2 if model.guidance > 1 else 1) * tokens**2, (decoded // 8) ** 4
