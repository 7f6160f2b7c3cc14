"""/upscale: Swin2SR makes a picture larger, part by part, without seams where they meet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from pipelines.catalog import ModelKey, UpscaleModel
from pipelines.contract.artifact import Artifact, Fact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.requests import SCALES, UpscaleRequest
from pipelines.facts import read_facts
from pipelines.layout import unusable
from pipelines.loading import Loader
from pipelines.media import encode_png, open_picture
from pipelines.models import Models
from pipelines.pixels import pictures
from pipelines.safety import are_sensitive, vet_upload

UNSURE = 3 / 8  # of the overlap, at a part's edge: there the network lacks surroundings


@dataclass(frozen=True, slots=True)
class Upscaler:
    """A Swin2SR, the factor by which it enlarges, and the side of its attention windows."""

    model: Any
    factor: int
    window: int


def load(model: UpscaleModel, loader: Loader) -> Upscaler:
    """The network of a catalogue entry, in RAM. Raises ModelUnavailable."""
    from transformers import Swin2SRForImageSuperResolution

    place = str(ModelKey.UPSCALE)
    network = loader.load(Swin2SRForImageSuperResolution, place, model, model.dtype)
    if network.config.upscale not in SCALES:
        raise unusable(
            place,
            model,
            f"makes pictures {network.config.upscale} times as large, where 2 or 4 is needed. "
            "Correct models.upscale.source.",
        )
    return Upscaler(network.eval(), network.config.upscale, network.config.window_size)


def render(
    request: UpscaleRequest, model: UpscaleModel, models: Models, context: RunContext
) -> tuple[Artifact, ...]:
    """The picture of `request`, larger, with what is known of how it was made."""
    picture = open_picture(request.image, whole=True)
    model.require_fits(*picture.size, scale=request.scale)
    vet_upload(models, context, picture)
    tile = models.plans[ModelKey.UPSCALE].tile or model.tile
    with models.use(ModelKey.UPSCALE, context) as upscaler:
        larger = enlarge(upscaler, picture, request.scale, context, tile, model.overlap)
    context.step(Phase.ENCODING)
    facts = _facts(request, model)
    artifact = Artifact(
        encode=partial(encode_png, larger),
        media_type=MediaType.PNG,
        name=f"upscale-x{request.scale}.png",
        width=larger.width,
        height=larger.height,
        facts=facts,
        sensitive=are_sensitive(models, context, [larger])[0],
    )
    return (artifact,)


def _facts(request: UpscaleRequest, model: UpscaleModel) -> dict[str, Fact]:
    """How the picture was made, if its file says so, and how much larger it is than then."""
    facts: dict[str, Fact] = dict(read_facts(request.image.read_bytes()))
    scale = int(facts.get("scale", 1)) * request.scale
    return {**facts, "scale": scale, "upscaler": model.name}


# --- part by part -------------------------------------------------------------------------------


def enlarge(
    upscaler: Upscaler,
    picture: Image.Image,
    scale: int,
    context: RunContext,
    tile: int,
    overlap: int,
) -> Image.Image:
    """`picture` (RGB or RGBA), `scale` times as large, in parts of `tile` pixels a side that share
    `overlap` with their neighbours. Raises Cancelled between two parts."""
    layers = _apart(picture)
    grids = [
        [cut(side * before, by, tile, overlap, upscaler.window) for side in reversed(picture.size)]
        for before, by in _passes(upscaler.factor, scale)
    ]
    step = _counting(context, len(layers) * sum(len(rows) * len(cols) for rows, cols in grids))
    for rows, columns in grids:
        layers = [_enlarged(upscaler, layer, rows, columns, step) for layer in layers]
    return _together(layers)


def _passes(factor: int, scale: int) -> list[tuple[int, int]]:
    """How large the picture is before each pass, and by how much the pass is to enlarge it.

    A network that enlarges by 2 goes over it twice for 4; one that enlarges by 4 can do less.
    """
    by = min(factor, scale)
    return [(1, by)] if by == scale else [(1, by), (by, by)]


def _counting(context: RunContext, parts: int) -> Callable[[], None]:
    """A function to call after each part: it reports progress, or raises Cancelled."""
    done = -1

    def step() -> None:
        nonlocal done
        done += 1
        context.step(Phase.UPSCALING, done, parts)

    step()
    return step


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A part of one side of the picture, in pixels from `begin` to `end`.

    `by` is how much it is enlarged, and `counts` are the weights of its (end - begin) × by pixels.
    """

    begin: int
    end: int
    by: int
    counts: Tensor

    @property
    def enlarged(self) -> slice:
        """Where it is in the result."""
        return slice(self.begin * self.by, self.end * self.by)


def cut(length: int, by: int, tile: int, overlap: int, window: int) -> list[Strip]:
    """A side of `length` pixels, and a window more at each end, cut into strips.

    Strips are `tile` long and share `overlap` or more. They begin where attention windows begin, so
    that each is seen as in the whole. Their counts add up to one everywhere.
    """
    whole = -(-length // window) * window + 2 * window
    tile = min(tile - tile % window, whole)
    spare = whole - tile
    gaps = -(-spare // (tile - overlap)) if spare else 0
    begins = [spare * i // max(gaps, 1) // window * window for i in range(gaps + 1)]
    inside = (torch.arange(tile * by, dtype=torch.float32) + 0.5) / (overlap * by)
    fade = ((inside - UNSURE) / (1 - 2 * UNSURE)).clamp(0, 1)
    shares = [_share(fade, first=not i, last=i == gaps) for i in range(gaps + 1)]
    strips = [Strip(b, b + tile, by, share) for b, share in zip(begins, shares, strict=True)]
    total = torch.zeros(whole * by, dtype=torch.float32)
    for strip in strips:
        total[strip.enlarged] += strip.counts
    for strip in strips:
        strip.counts.div_(total[strip.enlarged])
    return strips


def _share(fade: Tensor, *, first: bool, last: bool) -> Tensor:
    """The counts of a strip: it fades in and out, but not at the picture's own edges."""
    ones = torch.ones_like(fade)
    return (ones if first else fade) * (ones if last else fade.flip(0))


@torch.inference_mode()
def _enlarged(
    upscaler: Upscaler,
    layer: Tensor,
    rows: Sequence[Strip],
    columns: Sequence[Strip],
    step: Callable[[], None],
) -> Tensor:
    """One layer (3 × height × width) after one pass, larger by what the strips say.

    Its edges are continued by a window, which is cut off afterwards: the network is less sure near
    an edge.
    """
    height, width = layer.shape[1:]
    by, model, edge = rows[0].by, upscaler.model, upscaler.window
    right, below = columns[-1].end - edge - width, rows[-1].end - edge - height
    whole = functional.pad(layer[None], (edge, right, edge, below), mode="replicate")
    made = torch.zeros(3, rows[-1].end * by, columns[-1].end * by, dtype=torch.float32)
    for row in rows:
        for column in columns:
            part = whole[:, :, row.begin : row.end, column.begin : column.end]
            larger = model(part.to(model.device, model.dtype)).reconstruction.float().clamp(0, 1)
            larger = functional.avg_pool2d(larger, upscaler.factor // by)[0].cpu()
            made[:, row.enlarged, column.enlarged] += (
                larger * row.counts[:, None] * column.counts[None]
            )
            step()
    begin = edge * by
    return made[:, begin : begin + height * by, begin : begin + width * by]


# --- pictures and layers ------------------------------------------------------------------------


def _apart(picture: Image.Image) -> list[Tensor]:
    """A picture as the network takes it: its colours; where it has alpha, they are on black, and
    a second layer is the alpha."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    if len(pixels) == 3:
        return [pixels]
    colours, alpha = pixels[:3], pixels[3:]
    return [colours * alpha, alpha.expand(3, -1, -1)]


def _together(layers: Sequence[Tensor]) -> Image.Image:
    """The picture whose layers these are."""
    if len(layers) == 1:
        return _picture(layers[0])
    alpha = layers[1].mean(dim=0, keepdim=True)
    colours = (layers[0] / alpha.clamp(min=1 / 255)).clamp(max=1)
    return _picture(torch.cat([colours, alpha]))


def _picture(pixels: Tensor) -> Image.Image:
    return pictures(pixels[None], ModelKey.UPSCALE)[0]
