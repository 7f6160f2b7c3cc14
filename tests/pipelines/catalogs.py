"""Catalogues that differ a little from another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.catalog import Catalog, Conditioner


def changed(catalog: Catalog, **settings: Mapping[str, Any]) -> Catalog:
    """The catalogue with other settings of its models, by their keys."""
    return catalog.model_copy(
        update={key: getattr(catalog, key).model_copy(update=s) for key, s in settings.items()}
    )


def conditioner_of(models: Path, kind: str) -> Conditioner:
    """What steers SDXL by the lines of a drawing, of either kind."""
    folder = {"t2i-adapter": "sdxl-adapter", "controlnet": "sdxl-controlnet"}[kind]
    return Conditioner.model_validate({"source": f"{models}/{folder}", "type": kind})
