"""What many tests stand on: tiny models of the real classes, and a catalogue of them."""

import os
from pathlib import Path

import pytest

# Models this small gain nothing from a second thread, and threads that wait for each other in
# lockstep make a busy machine ten times slower. Read when torch is imported, also by children.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from demo.tiny import ensure
from pipelines.catalog import Catalog

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def tiny_models() -> Path:
    """The folder of the tiny models: the demo's own, so that they are built once in all."""
    return ensure(ROOT / "demo" / ".models")


@pytest.fixture(scope="session")
def tiny_catalog(tiny_models: Path) -> Catalog:
    """All four models with few steps. A job takes a fraction of a second on two CPU cores."""
    return Catalog.model_validate(
        {
            "caption": {"source": f"{tiny_models}/blip", "max_words": 6},
            "sketch": {
                "source": f"{tiny_models}/sdxl",
                "vae": {"source": f"{tiny_models}/sdxl-vae"},
                "conditioner": {"source": f"{tiny_models}/sdxl-adapter", "type": "t2i-adapter"},
                "steps": 4,
                "size": 256,
            },
            "imagine": {"source": f"{tiny_models}/sd3", "steps": 4, "size": 256, "text_tokens": 32},
            "animate": {
                "source": f"{tiny_models}/svd",
                "steps": 3,
                "frames": 4,
                "width": 128,
                "height": 128,
                "decode_chunk": 2,
            },
            "styles": {"ink": {"frame": "ink drawing of {prompt}"}, "oil": {"negative": "ink"}},
        }
    )
