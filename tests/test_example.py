"""config.example.toml says what is true."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bot.config import Config, load_config
from pipelines.catalog import (
    Acceleration,
    AnimateModel,
    CaptionModel,
    Catalog,
    Conditioner,
    ImagineModel,
    SafetyModel,
    SketchModel,
    Style,
    UpscaleModel,
)

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
EXPLAINED_ABOVE = {
    "source",
    "revision",
    "variant",
    "gated",
    "vae",
    "conditioner",
    "lora",
    "preset",
    "preset_lora",
    "preview",
}
TABLES: dict[str, type[BaseModel]] = {
    **{
        name: field.annotation
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and name != "models"
    },
    "models": Catalog,
    "models.safety": SafetyModel,
    "models.caption": CaptionModel,
    "models.sketch": SketchModel,
    "models.sketch.conditioner": Conditioner,
    "models.imagine": ImagineModel,
    "models.animate": AnimateModel,
    "models.upscale": UpscaleModel,
    "models.acceleration": Acceleration,
    "models.styles.photo": Style,
}


def uncommented() -> dict[str, Any]:
    """The example with every `#key = value` line in force."""
    return tomllib.loads(re.sub(r"^#(?=\w+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE))


def table(document: dict[str, Any], name: str) -> dict[str, Any]:
    for part in name.split("."):
        document = document.get(part, {})
    return document


def test_it_loads_and_names_every_model() -> None:
    models = load_config(EXAMPLE).models
    assert [place for place, _ in models.checkpoints()] == [
        "safety",
        "caption",
        "sketch",
        "sketch.vae",
        "sketch.conditioner",
        "sketch.preview",
        "imagine",
        "imagine.preview",
        "animate",
        "upscale",
    ]
    assert 6 <= len(models.styles) <= 12


def test_it_loads_with_every_key_in_force() -> None:
    Config.model_validate(uncommented())


@pytest.mark.parametrize("name", TABLES)
def test_every_key_is_there_with_its_default(name: str) -> None:
    model = TABLES[name]
    fields = model.model_fields
    shown, active = table(uncommented(), name), table(tomllib.loads(EXAMPLE.read_text()), name)
    assert set(fields) - EXPLAINED_ABOVE <= set(shown)
    required = {key: shown[key] for key in shown if fields[key].is_required()}
    defaults = model.model_validate(required).model_dump(mode="json")
    for key in set(shown) - set(active):
        if defaults[key] is not None:  # where there is no default, a likely value is shown
            assert shown[key] == defaults[key], key


def test_every_commented_key_is_explained_beside_it() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if re.match(r"#\w+ = ", line)]
    unexplained = [line for line in lines if not re.search(r"\S +# \S", line)]
    assert {line.split()[0] for line in unexplained} == {"#dtype"}
