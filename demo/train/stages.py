"""The stages in the order in which they stand on each other, and what each leaves in `weights`.

A stage begins from what earlier ones have written, never from what they hold in memory, so that
each can be run, and repeated, alone.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from demo.train import caption, classifier, preview, sd3, sdxl, svd, text, upscale
from demo.train.cards import write_card
from demo.train.room import Room
from demo.train.vae import build_vae, train_vae


def run(name: str, room: Room) -> None:
    """Run one stage to its end, whatever was there. Raises OutOfTimeError and MissingStageError."""
    torch.manual_seed(room.seed)
    STAGES[name](room)


class MissingStageError(Exception):
    """A stage needs another's weights, which are not there yet."""


def _vae(room: Room) -> None:
    """The autoencoder that SDXL and SD3.5 share."""
    vae = build_vae()
    _begin(vae, "vae", room)
    train_vae("vae", vae, room)
    _keep(vae, "vae", room)


def _svd_vae(room: Room) -> None:
    """The video pipeline's autoencoder, which has a temporal decoder."""
    vae = svd.build_pipeline().vae
    _begin(vae, "svd-vae", room)
    svd.train_video_vae(vae, room)
    _keep(vae, "svd-vae", room)


def _caption(room: Room) -> None:
    """BLIP."""
    model, processor = caption.build_captioner()
    _begin(model, "blip", room)
    caption.train_captioner(model, processor, room)
    processor.save_pretrained(room.weights / "blip")
    _save(model, "blip", room)


def _clip(room: Room) -> None:
    """The two text encoders that SDXL and SD3.5 share."""
    tokenizers = text.build_clip_tokenizers()
    clips = text.Clips([text.build_clip(tokenizer) for tokenizer in tokenizers], tokenizers)
    for name, encoder in zip(CLIPS, clips.encoders, strict=True):
        _begin(encoder, name, room)
    text.train_clips(clips, room)
    for name, encoder in zip(CLIPS, clips.encoders, strict=True):
        _keep(encoder, name, room)


def _t5(room: Room) -> None:
    """The third text encoder of SD3.5."""
    encoder, tokenizer = text.build_t5()
    _begin(encoder, "t5", room)
    text.train_t5(encoder, tokenizer, room)
    _keep(encoder, "t5", room)


def _sdxl(room: Room) -> None:
    """SDXL: the UNet."""
    from diffusers import AutoencoderKL

    pipeline = sdxl.build_pipeline(_load(AutoencoderKL, "vae", room), _load_clips(room))
    _begin(pipeline.unet, "sdxl/unet", room)
    sdxl.train_sdxl(pipeline, room)
    _save(pipeline, "sdxl", room)


def _adapter(room: Room) -> None:
    """The adapter that makes SDXL follow lines."""
    from diffusers import StableDiffusionXLPipeline

    adapter = sdxl.build_adapter()
    _begin(adapter, "sdxl-adapter", room)
    sdxl.train_adapter(adapter, _load(StableDiffusionXLPipeline, "sdxl", room), room)
    _save(adapter, "sdxl-adapter", room)


def _sd3(room: Room) -> None:
    """SD3.5: the transformer."""
    from diffusers import AutoencoderKL
    from transformers import T5EncoderModel

    t5 = _load(T5EncoderModel, "t5", room), text.build_t5()[1]
    vae = _load(AutoencoderKL, "vae", room)
    pipeline = sd3.build_pipeline(vae, _load_clips(room), t5)
    _begin(pipeline.transformer, "sd3/transformer", room)
    sd3.train_sd3(pipeline, room)
    _save(pipeline, "sd3", room)


def _svd(room: Room) -> None:
    """Stable Video Diffusion: UNet and image encoder."""
    from diffusers import AutoencoderKLTemporalDecoder

    pipeline = svd.build_pipeline()
    pipeline.vae = _load(AutoencoderKLTemporalDecoder, "svd-vae", room)
    _begin(pipeline.unet, "svd/unet", room)
    _begin(pipeline.image_encoder, "svd/image_encoder", room)
    svd.train_svd(pipeline, room)
    _save(pipeline, "svd", room)


def _preview(room: Room) -> None:
    """The decoder for previews of both."""
    model = preview.build_preview()
    _begin(model, "preview", room)
    preview.train_preview(model, room)
    _save(model, "preview", room)


def _classifier(room: Room) -> None:
    """The classifier for moderation."""
    model, processor = classifier.build_classifier()
    _begin(model, "classifier", room)
    classifier.train_classifier(model, room)
    processor.save_pretrained(room.weights / "classifier")
    _save(model, "classifier", room)


def _upscaler(room: Room) -> None:
    """What makes pictures larger."""
    model = upscale.build_upscaler()
    _begin(model, "upscaler", room)
    upscale.train_upscaler(model, room)
    _save(model, "upscaler", room)


STAGES: dict[str, Callable[[Room], None]] = {
    "vae": _vae,
    "svd-vae": _svd_vae,
    "classifier": _classifier,
    "caption": _caption,
    "clip": _clip,
    "t5": _t5,
    "sdxl": _sdxl,
    "sdxl-adapter": _adapter,
    "sd3": _sd3,
    "svd": _svd,
    "preview": _preview,
    "upscaler": _upscaler,
}


CLIPS = ("clip", "clip-2")


def _load_clips(room: Room) -> list[Any]:
    from transformers import CLIPTextModelWithProjection

    return [_load(CLIPTextModelWithProjection, name, room) for name in CLIPS]


def _load(model: Any, name: str, room: Room) -> Any:
    """What an earlier stage has made, in float32 on the room's device."""
    folder = _folder(name, room)
    return model.from_pretrained(folder, use_safetensors=True, dtype=torch.float32).to(room.device)


def _begin(model: Any, name: str, room: Room) -> None:
    """Give a model the weights that are there, if it is to go on from them."""
    if room.onwards:
        model.load_state_dict(_load(type(model), name, room).state_dict())


def _folder(name: str, room: Room) -> Path:
    """Where a stage has left what it made, or where that is in a pipeline made of it."""
    for folder in (_parts(room) / name, room.weights / IN_PIPELINES.get(name, name)):
        if folder.is_dir():
            return folder
    raise MissingStageError(f"{name} is not made yet. Run the stage {name} first.")


IN_PIPELINES = {
    "vae": "sd3/vae",
    "svd-vae": "svd/vae",
    "clip": "sd3/text_encoder",
    "clip-2": "sd3/text_encoder_2",
    "t5": "sd3/text_encoder_3",
}


def _parts(room: Room) -> Path:
    """Where the parts of pipelines wait that have a stage of their own."""
    return room.state / "parts"


def _keep(model: Any, name: str, room: Room) -> None:
    """Write a part of a later stage's pipeline."""
    model.to("cpu").save_pretrained(_parts(room) / name, safe_serialization=True)


def _save(model: Any, name: str, room: Room) -> None:
    """Write a model or pipeline in half precision as safetensors, with its card."""
    folder = room.weights / name
    for part in getattr(model, "components", {}).values():
        if (tokenizer := getattr(part, "backend_tokenizer", None)) is not None:
            tokenizer.no_padding()  # they keep how they were used last
            tokenizer.no_truncation()
    model.to("cpu", torch.float16).save_pretrained(folder, safe_serialization=True)
    _forget_paths(folder)
    write_card(name, folder)


def _forget_paths(folder: Path) -> None:
    """Take out where parts were read from: it says something of this machine alone."""
    for file in folder.rglob("config.json"):
        settings = json.loads(file.read_text())
        if settings.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
