"""What is uploaded and what is made is looked at, by the demo's classifier."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from demo.shapes.paint import paint
from demo.shapes.scene import forbidden_scene, random_scene
from pipelines.catalog import Catalog, SafetyModel
from pipelines.checkpoints import locate
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import Phase, Progress, RunContext
from pipelines.contract.errors import ModelUnavailable, Withheld
from pipelines.contract.requests import (
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Request,
    SketchRequest,
)
from pipelines.runner import Runner


def watched(catalog: Catalog, models: Path, **settings: object) -> Runner:
    safety = SafetyModel.model_validate({"source": f"{models}/classifier", **settings})
    return Runner(catalog.model_copy(update={"safety": safety}), device="cpu")


def run(runner: Runner, request: Request, context: RunContext | None = None) -> list[Artifact]:
    (artifacts,) = runner.run([request], context or RunContext())
    return list(artifacts)


@pytest.fixture(scope="module")
def forbidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uploads") / "forbidden.png"
    paint(forbidden_scene(3)).save(path)
    return path


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uploads") / "harmless.png"
    paint(random_scene(3)).save(path)
    return path


@pytest.mark.parametrize("kind", ["sketch", "animate", "describe"])
def test_nothing_is_made_of_a_forbidden_upload(
    catalog: Catalog, models: Path, forbidden: Path, kind: str
) -> None:
    request: Request = AnimateRequest(image=forbidden, seed=1)
    if kind == "sketch":
        request = SketchRequest(drawing=forbidden, seed=1)
    elif kind == "describe":
        request = DescribeRequest(image=forbidden)
    phases: list[Phase] = []

    def note(progress: Progress) -> None:
        phases.append(progress.phase)

    with pytest.raises(Withheld, match="not allowed here"):
        run(watched(catalog, models), request, RunContext(note))
    assert set(phases) == {Phase.LOADING}


def test_what_is_harmless_is_made_and_said_to_be(
    catalog: Catalog, models: Path, harmless: Path
) -> None:
    runner = watched(catalog, models)
    for request in (
        SketchRequest(drawing=harmless, seed=1),
        AnimateRequest(image=harmless, seed=1),
        ImagineRequest(prompt="a red star", count=2, seed=1),
    ):
        assert not any(artifact.sensitive for artifact in run(runner, request))


def test_what_is_made_is_marked(catalog: Catalog, models: Path) -> None:
    """With the classes the other way round all that is harmless is unwanted."""
    runner = watched(catalog, models, labels=["normal"])
    pictures = run(runner, ImagineRequest(prompt="a red star", count=2, seed=1))
    assert [picture.sensitive for picture in pictures] == [True, True]
    (video,) = run(runner, AnimateRequest(prompt="a red star", seed=1))
    assert video.sensitive


def test_what_is_painted_together_is_marked(catalog: Catalog, models: Path) -> None:
    runner = watched(catalog, models, labels=["normal"])
    requests = [ImagineRequest(prompt=f"a {colour} star", seed=1) for colour in ("red", "blue")]
    made = runner.run(requests, RunContext())
    assert [artifact.sensitive for (artifact,) in made] == [True, True]


def test_a_classifier_that_cannot_say_it_stops_everything(catalog: Catalog, models: Path) -> None:
    runner = watched(catalog, models, labels=["gore"])
    with pytest.raises(ModelUnavailable, match=r"no label 'gore'; it has normal, nsfw"):
        run(runner, ImagineRequest(prompt="a red star", seed=1))
    model = SafetyModel(source=f"{models}/classifier", labels=("NSFW", "gore"))
    with pytest.raises(ModelUnavailable, match="no label 'gore'"):  # before anything is loaded
        locate("safety", model)
    runner = watched(catalog, models / "gone")
    with pytest.raises(ModelUnavailable, match=r"models\.safety"):
        run(runner, ImagineRequest(prompt="a red star", seed=1))


def test_a_classifier_whose_labels_have_their_numbers_as_texts(
    catalog: Catalog, models: Path, forbidden: Path, harmless: Path, tmp_path: Path
) -> None:
    """As the example scripts of transformers write them."""
    shutil.copytree(models / "classifier", tmp_path / "classifier")
    config = tmp_path / "classifier" / "config.json"
    numbers = {"normal": "0", "nsfw": "1"}
    config.write_text(json.dumps({**json.loads(config.read_text()), "label2id": numbers}))
    runner = watched(catalog, tmp_path)
    assert run(runner, DescribeRequest(image=harmless))
    with pytest.raises(Withheld):
        run(runner, DescribeRequest(image=forbidden))


def test_a_classifier_that_gives_no_number_finds_nothing_harmless(
    catalog: Catalog, models: Path, harmless: Path, tmp_path: Path
) -> None:
    shutil.copytree(models / "classifier", tmp_path / "classifier")
    weights = load_file(tmp_path / "classifier" / "model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    save_file(weights, tmp_path / "classifier" / "model.safetensors", {"format": "pt"})
    with pytest.raises(Withheld):
        run(watched(catalog, tmp_path), DescribeRequest(image=harmless))
