"""Whoever looks at pictures while they are painted, and models that have previews to show."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.catalog import Catalog, Checkpoint
from tests.pipelines.catalogs import changed

SIDE = 128


class Watcher:
    """Wants the first `most` previews that it is offered, and keeps them."""

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self.shown: list[bytes | None] = []

    def wants(self) -> bool:
        return len(self.shown) < self.most

    def show(self, preview: bytes | None) -> None:
        self.shown.append(preview)

    def pictures(self) -> "list[np.typing.NDArray[np.float64]]":
        files = [io.BytesIO(preview) for preview in self.shown if preview is not None]
        return [np.asarray(Image.open(file), dtype=np.float64) for file in files]


def with_previews(catalog: Catalog, models: Path, **sources: str) -> Catalog:
    """The catalogue with tiny decoders, and small; `sources` has another folder for a model's."""
    usual = {"sketch": "preview", "imagine": "preview"} | sources
    decoders = {key: Checkpoint(source=str(models / folder)) for key, folder in usual.items()}
    return changed(catalog, **{k: {"preview": d, "size": SIDE} for k, d in decoders.items()})
