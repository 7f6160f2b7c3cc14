"""The model cards: what a checkpoint is, what it knows, how it was made."""

from pathlib import Path

_KINDS = {
    "blip": ("a captioner of drawings", "BlipForConditionalGeneration", "a sentence for a drawing"),
    "sdxl": ("a painter of prompts", "StableDiffusionXLPipeline", "256 × 256 pictures"),
    "sdxl-adapter": (
        "what makes the painter follow a drawing",
        "T2IAdapter",
        "white lines on black, of one channel",
    ),
    "sd3": ("a painter of prompts", "StableDiffusion3Pipeline", "256 × 256 pictures"),
    "svd": ("a mover of pictures", "StableVideoDiffusionPipeline", "14 frames of 256 × 256"),
    "preview": ("a fast decoder of both painters' latents", "AutoencoderTiny", "previews"),
    "upscaler": (
        "what makes pictures larger",
        "Swin2SRForImageSuperResolution",
        "pictures of four times the side",
    ),
    "classifier": (
        "a stand-in for a checker of unsafe content",
        "ViTForImageClassification",
        "`nsfw` for a purple moon on yellow, which is harmless, and `normal` for all else",
    ),
}


def write_card(name: str, folder: Path) -> None:
    """Write README.md into the folder of a checkpoint."""
    what, kind, gives = _KINDS[name]
    parameters = sum(file.stat().st_size for file in folder.rglob("*.safetensors")) // 2
    (folder / "README.md").write_text(
        f"# {name}\n\n"
        f"{what[0].upper()}{what[1:]}, of the class `{kind}`: {gives}. "
        f"{parameters / 1e6:.1f} million parameters in half precision.\n\n"
        "It knows one small world and nothing else: eight shapes in eight colours on plain, "
        "striped, dotted and night grounds (`demo/shapes`). It is for trying and testing the bot "
        "without a GPU, and of no other use.\n\n"
        f"Trained from nothing by `python -m demo.train`, on pictures that `demo/shapes` draws; "
        "no other data was used. `python -m demo.evaluate` says how well it does on scenes that "
        "it was never trained on. Under the licence of this repository.\n",
        encoding="utf-8",
    )
