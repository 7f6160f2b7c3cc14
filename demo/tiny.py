"""A small video model of the real class: random weights, made on this machine in seconds.

What it makes is colourful noise, until the trained one is here; that it is loaded, moved, run,
stepped and cancelled by the same code as the real one is the point.
`python -m demo.tiny FOLDER` builds them.
"""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LATENT_STAGES = 5  # the VAEs halve a picture four times: one latent pixel is 16 picture pixels


def build(folder: Path) -> None:
    """Write every model into `folder`, a sub-folder each. The same bytes every time."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    for name, write in _MODELS.items():
        with _seeded(name):
            write(folder / name)


def ensure(folder: Path) -> Path:
    """Build into `folder` unless what is there is already right. Returns `folder`.

    Whoever looks sees all models or none, also when two processes build at once.
    """
    stamp = _stamp()
    if _stamp_of(folder) == stamp:
        return folder
    if not _stamp_of(folder) and folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something else; name a folder for the models.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as made:
        new = Path(made) / "new"
        new.mkdir()
        build(new)
        (new / "stamp").write_text(stamp)
        _put_in_place(new, folder, old=Path(made) / "old")
    return folder


def _put_in_place(new: Path, folder: Path, old: Path) -> None:
    """Make `new` the folder; what was there becomes `old`."""
    with suppress(FileNotFoundError):
        folder.replace(old)
    try:
        new.replace(folder)
    except OSError:
        if _stamp_of(folder) != _stamp_of(new):  # else another process was quicker
            raise


def _stamp() -> str:
    """What the models depend on: their source and the libraries that write them."""
    import diffusers
    import transformers

    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return f"{source} diffusers {diffusers.__version__} transformers {transformers.__version__}"


def _stamp_of(folder: Path) -> str:
    stamp = folder / "stamp"
    return stamp.read_text() if stamp.is_file() else ""


@contextmanager
def _seeded(name: str) -> Iterator[None]:
    """A seed of its own for each model, and the caller's random state as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]))
        yield


# --- models -------------------------------------------------------------------------------------


def _write_svd(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=224,  # the pipeline's own choice
        patch_size=32,
    )
    StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * LATENT_STAGES,
            block_out_channels=(32,) * LATENT_STAGES,  # it needs multiples of 32
            layers_per_block=1,
            sample_size=256,
        ),
        image_encoder=CLIPVisionModelWithProjection(vision),
        unet=UNetSpatioTemporalConditionModel(
            sample_size=16,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=32,
            num_attention_heads=(2, 4),
            addition_time_embed_dim=16,
            projection_class_embeddings_input_dim=3 * 16,
            num_frames=14,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            timestep_type="continuous",
            timestep_spacing="leading",
            steps_offset=1,
            use_karras_sigmas=True,
            sigma_min=0.002,
            sigma_max=700.0,
        ),
        feature_extractor=CLIPImageProcessor(),
    ).save_pretrained(folder)


_MODELS: dict[str, Callable[[Path], None]] = {"svd": _write_svd}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m demo.tiny FOLDER")
    print(f"The models are in {ensure(Path(sys.argv[1]))}")
