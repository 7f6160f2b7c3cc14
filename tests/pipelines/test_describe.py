"""What pictures and drawings are said to show, by the demo's captioner."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from bot.errors import WordNotAllowed
from bot.words import WordRules
from demo.sample import draw_sample
from demo.tokenizers import bert_tokenizer
from pipelines.catalog import Catalog
from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import DescribeRequest, Request, SketchRequest
from pipelines.describe import describe, load, subject_of
from pipelines.loading import Loader
from pipelines.runner import Runner
from tests.pipelines.sheets import heart

CPU = Loader(torch.device("cpu"))


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawings") / "heart.png"
    draw_sample().save(path)
    return path


def run(runner: Runner, request: Request) -> Artifact:
    ((artifact,),) = runner.run([request], RunContext())
    return artifact


def test_a_drawn_heart_is_described_as_one(runner: Runner, drawing: Path) -> None:
    described = run(runner, DescribeRequest(image=drawing))
    assert "heart" in str(described.facts["caption"])
    assert described.data == drawing.read_bytes()


def test_a_review_says_what_would_be_painted_and_paints_nothing(
    runner: Runner, drawing: Path
) -> None:
    reviewed = run(runner, SketchRequest(drawing=drawing, prompt="in gold", review=True, seed=1))
    painted = run(runner, SketchRequest(drawing=drawing, prompt="in gold", seed=1))
    assert reviewed.facts["caption"] == painted.facts["caption"]
    assert reviewed.data == drawing.read_bytes() != painted.data


def test_what_may_not_be_seen_is_not_said_either(runner: Runner, drawing: Path) -> None:
    rules = RunContext(allow=WordRules(["heart"]).check_seen)
    review = SketchRequest(drawing=drawing, review=True, seed=1)
    for request in (DescribeRequest(image=drawing), review):
        with pytest.raises(WordNotAllowed, match="“heart”"):
            runner.run([request], rules)


def test_a_review_refuses_what_could_not_be_painted(runner: Runner, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (200, 200), "white").save(blank)
    with pytest.raises(BadInput, match="blank"):
        run(runner, SketchRequest(drawing=blank, review=True, seed=1))
    assert run(runner, DescribeRequest(image=blank)).data == blank.read_bytes()


def test_a_transparent_picture_is_seen_on_white(runner: Runner, tmp_path: Path) -> None:
    captions = []
    for name, paper in (("none.png", (255, 255, 255, 0)), ("white.png", (255, 255, 255, 255))):
        picture = Image.new("RGBA", (256, 256), paper)
        picture.alpha_composite(Image.new("RGBA", (90, 90), "red"), (80, 80))
        picture.save(tmp_path / name)
        captions.append(run(runner, DescribeRequest(image=tmp_path / name)).facts["caption"])
    assert captions[0] == captions[1]


@pytest.mark.parametrize(
    ("caption", "subject"),
    [
        ("a cat", "a cat"),
        ("a drawing of a cat", "a cat"),
        ("a black and white drawing of a cat on a white background", "a cat"),
        ("there is a drawing of a house with a tree on it", "a house with a tree on it"),
        ("a close up of a drawing of a dog", "a dog"),
        ("a line art drawing of a dog", "a dog"),
        ("a line art of a dog", "a dog"),
        ("black and white line-art illustration of a dog", "a dog"),
        ("a photo of a drawing of a cat", "a cat"),
        ("a black and white photo of a drawing of a cat", "a cat"),
        ("there is a close-up of a photograph of a pencil sketch of the sea", "the sea"),
        ("a photo of a cat", "a photo of a cat"),
        ("the art of the sea", "the art of the sea"),
        ("a child's drawing of a drawing of two people", "two people"),
        (
            "a heart drawn in pencil on a piece of paper",
            "a heart drawn in pencil on a piece of paper",
        ),
        ("a pencil sketch of a boat on white paper", "a boat"),
        ("a man holding a picture of a dog", "a man holding a picture of a dog"),
        ("a cat on a white background and a dog", "a cat on a white background and a dog"),
        ("Cartoon Illustration of a robot", "a robot"),
        ("a drawing", "a drawing"),
        ("", ""),
    ],
)
def test_words_about_the_drawing_as_such_are_left_out(caption: str, subject: str) -> None:
    assert subject_of(caption) == subject


@pytest.mark.parametrize(
    ("said", "caption"),
    [
        ("arafed image of a cat on a white background", "image of a cat on a white background"),
        ("araffe cat sitting on a table", "cat sitting on a table"),
        ("there is a araffed drawing of a house", "there is a drawing of a house"),
        ("araffes with a giraffe", "with a giraffe"),
        ("arafed a b c d e f g h i j", "a b c d e f g h i"),  # it is no word
        ("araffy", ""),
        ("a close-up of a child's hand-drawn cat", "a close-up of a child's hand-drawn cat"),
    ],
)
def test_words_come_as_they_are_written_without_those_that_blip_invents(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, said: str, caption: str
) -> None:
    assert catalog.caption is not None
    captioner = load(catalog.caption, CPU)
    words = bert_tokenizer([*re.findall(r"\w+|[-']", said)])
    monkeypatch.setattr(captioner.processor, "tokenizer", words)
    tokens = words(said, return_tensors="pt").input_ids
    monkeypatch.setattr(captioner.model, "generate", lambda **_: tokens)
    assert describe(captioner, heart().convert("RGB"), 9) == caption


def test_the_caption_has_at_most_so_many_words(catalog: Catalog) -> None:
    assert catalog.caption is not None
    captioner = load(catalog.caption, CPU)
    for most in (4, 9):
        caption = describe(captioner, heart().convert("RGB"), most)
        assert 0 < len(caption.split()) <= most
        assert "[" not in caption
