"""What can be chosen, for forms."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from pipelines import loras
from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.requests import (
    MAX_COUNT,
    MOTION,
    SCALES,
    STRENGTH,
    USUAL_MOTION,
    USUAL_STRENGTH,
    Aspect,
)


def choices(catalog: Catalog, models: Collection[ModelKey]) -> dict[str, Any]:
    """By kind; those that are not set up are not there. It looks for LoRAs on the disk."""
    kinds: Mapping[ModelKey, dict[str, Any]] = {
        ModelKey.SKETCH: {
            "styles": [_style(catalog, name) for name in catalog.styles],
            "strength": _number(STRENGTH, USUAL_STRENGTH),
            "loras": loras.names(catalog.loras, ModelKey.SKETCH),
        },
        ModelKey.IMAGINE: {
            "aspects": [aspect.value for aspect in Aspect],
            "max_count": MAX_COUNT,
            "loras": loras.names(catalog.loras, ModelKey.IMAGINE),
        },
        ModelKey.ANIMATE: {"motion": _number(MOTION, USUAL_MOTION)},
        ModelKey.UPSCALE: {"scales": list(SCALES)},
    }
    return {str(key): kind for key, kind in kinds.items() if key in models}


def _number(allowed: range, usual: int) -> dict[str, int]:
    return {"default": usual, "least": allowed[0], "most": allowed[-1]}


def _style(catalog: Catalog, name: str) -> dict[str, Any]:
    style = catalog.styles[name]
    preview = f"/v1/styles/{quote(name, safe='')}/preview" if style.preview else None
    return {"name": name, "description": style.description, "preview": preview}
