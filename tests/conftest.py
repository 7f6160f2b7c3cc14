"""What many tests stand on: the demo's models, and a catalogue of them."""

import gc
import os
from pathlib import Path

import pytest

# Models this small gain nothing from a second thread, and threads that wait for each other in
# lockstep make a busy machine ten times slower. Read when torch is imported, also by children.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from diffusers import AutoencoderTiny, ControlNetModel, UNet2DConditionModel

from pipelines.catalog import Catalog
from tests.browser import browser, demo

__all__ = ["browser", "demo"]  # fixtures

ROOT = Path(__file__).parent.parent


def pytest_collection_finish() -> None:
    """Let no search for cycles look through what was imported, which is most of what there is."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's models, and with a ControlNet and a decoder that no demo needs."""
    folder = tmp_path_factory.mktemp("models")
    for model in (ROOT / "demo" / "weights").iterdir():
        (folder / model.name).symlink_to(model)
    write_controlnet(folder / "sdxl" / "unet", folder / "sdxl-controlnet")
    AutoencoderTiny(latent_channels=4).save_pretrained(folder / "preview-of-four-channels")
    return folder


def write_controlnet(unet: Path, folder: Path) -> None:
    """A ControlNet for a UNet, that has an effect although it was never trained."""
    model = ControlNetModel.from_unet(
        UNet2DConditionModel.from_pretrained(unet),
        conditioning_embedding_out_channels=(8, 8, 16, 16, 16),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, parameter in model.named_parameters():
            if "controlnet_" in name:  # zero at birth, so that training begins at no effect
                torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)


@pytest.fixture(scope="session")
def catalog(models: Path) -> Catalog:
    """The demo's models with few steps. A job takes a fraction of a second on two CPU cores."""
    return Catalog.model_validate(
        {
            "caption": {"source": f"{models}/blip", "max_words": 6},
            "sketch": {
                "source": f"{models}/sdxl",
                "vae": {"source": f"{models}/sdxl/vae"},
                "conditioner": {"source": f"{models}/sdxl-adapter", "type": "t2i-adapter"},
                "steps": 4,
                "size": 256,
            },
            "imagine": {
                "source": f"{models}/sd3",
                "steps": 4,
                "size": 256,
                "text_tokens": 32,
            },
            "animate": {
                "source": f"{models}/svd",
                "steps": 3,
                "frames": 4,
                "width": 128,
                "height": 128,
                "decode_chunk": 2,
            },
            "upscale": {"source": f"{models}/upscaler", "tile": 64, "overlap": 32},
            "styles": {"ink": {"frame": "ink drawing of {prompt}"}, "oil": {"negative": "ink"}},
        }
    )
