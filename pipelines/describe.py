"""/describe: BLIP says what a picture shows. /sketch begins with the same, about a drawing.

The whole story in its order: look, load, say.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pipelines.catalog import CaptionModel, ModelKey
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.requests import DescribeRequest, SketchRequest, clean_text
from pipelines.drawing import Drawing, read_drawing
from pipelines.loading import Loader
from pipelines.media import on_white, open_picture
from pipelines.models import Models, Question
from pipelines.plan import PAINTER
from pipelines.safety import vet_upload


def render(
    request: DescribeRequest, captions: CaptionModel, models: Models, context: RunContext
) -> tuple[Artifact, ...]:
    """The picture as it is, and what it shows. Raises what `context.allow` raises of that."""
    picture = open_picture(request.image)
    vet_upload(models, context, picture)
    caption = Captioning(captions, models, context).at_picture(request.image, picture)
    context.allow(caption)
    return (described(request.image, caption, captions),)


def described(file: Path, caption: str, captions: CaptionModel) -> Artifact:
    """The picture in `file`, unchanged, with its caption."""
    with Image.open(file) as whole:
        width, height = whole.size
    return Artifact(
        encode=lambda _: file.read_bytes(),
        media_type=MediaType.PNG,
        name="described.png",
        width=width,
        height=height,
        facts={"caption": caption, "model": captions.name},
    )


# --- look ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captioning:
    """Asks the captioner about pictures, and on the way about those of the runs that wait."""

    captions: CaptionModel
    models: Models
    context: RunContext

    def at_picture(self, file: Path, picture: Image.Image) -> str:
        """What a picture shows, in the captioner's own words."""
        return self._answer(self._about_picture(file, lambda: picture))

    def at_drawing(self, file: Path, drawing: Drawing) -> str:
        """What a drawing shows, without words about the drawing as such."""
        return self._answer(self._about_drawing(file, lambda: drawing))

    def known(self, file: Path) -> str | None:
        """What the drawing in `file` shows, if that was asked lately."""
        known: str | None = self.models.known(ModelKey.CAPTION, PAINTER, _about("drawing", file))
        return known

    def _answer(self, question: Question[str]) -> str:
        def ask(captioner: Captioner) -> str:
            self.context.step(Phase.CAPTIONING)
            return question.ask(captioner)

        return self.models.answer(
            ModelKey.CAPTION,
            PAINTER,
            self.context,
            Question(question.about, ask),
            self._coming_questions,
        )

    def _coming_questions(self) -> Iterator[Question[str]]:
        for request in self.context.coming:
            match request:
                case SketchRequest(caption="", drawing=file):
                    yield self._about_drawing(file, partial(_read, file))
                case DescribeRequest(image=file):
                    yield self._about_picture(file, partial(open_picture, file))

    def _about_picture(self, file: Path, see: Callable[[], Image.Image]) -> Question[str]:
        return Question(
            _about("picture", file),
            lambda captioner: describe(captioner, on_white(see()), self.captions.max_words),
        )

    def _about_drawing(self, file: Path, see: Callable[[], Drawing]) -> Question[str]:
        return Question(
            _about("drawing", file),
            lambda captioner: subject_of(
                describe(captioner, see().picture, self.captions.max_words)
            ),
        )


def _read(file: Path) -> Drawing:
    return read_drawing(open_picture(file))


def _about(what: str, file: Path) -> tuple[str, Path, int]:
    """What a file's caption depends on; of one that is gone, only its name."""
    try:
        return what, file, file.stat().st_mtime_ns
    except OSError:
        return what, file, 0


# --- load ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Captioner:
    """A BLIP model and its processor."""

    model: Any
    processor: Any


def load(model: CaptionModel, loader: Loader) -> Captioner:
    """The captioner of a catalogue entry, in RAM."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    blip = loader.load(BlipForConditionalGeneration, ModelKey.CAPTION, model, model.dtype)
    processor = loader.load_processor(BlipProcessor, ModelKey.CAPTION, model)
    return Captioner(blip.eval(), processor)


# --- say ----------------------------------------------------------------------------------------


def describe(captioner: Captioner, picture: Image.Image, max_words: int) -> str:
    """What `picture` shows, in at most `max_words` words. May be empty."""
    inputs = captioner.processor(images=picture, return_tensors="pt")
    with torch.inference_mode():
        tokens = captioner.model.generate(
            **inputs.to(captioner.model.device, captioner.model.dtype),
            max_new_tokens=2 * max_words,
            num_beams=3,
            do_sample=False,
            no_repeat_ngram_size=3,  # else it may say the same again and again
        )
    said = captioner.processor.decode(
        tokens[0], skip_special_tokens=True, clean_up_tokenization_spaces=True
    )
    said = _INVENTED.sub("", said.replace(" - ", "-"))  # BERT has put spaces round each hyphen
    return clean_text(" ".join(said.split()[:max_words]), "caption")


def subject_of(caption: str) -> str:
    """`caption` without its words about the drawing as such.

    "a black and white drawing of a cat on a white background" would make SDXL draw lines on
    paper; "a cat" lets it paint.
    """
    without_paper = _PAPER.sub("", caption)
    return _MEDIUM.sub("", without_paper) or caption


_INVENTED = re.compile(r"\barr?aff?(?:e[ds]?|y)\b", re.IGNORECASE)
"""“arafed”, “araffe”: meaningless words with which BLIP large begins many of its captions."""
_LOOKS = (
    r"(?:(?:black|white|and|simple|rough|line|line[- ]?art|pencil|pen|ink|crayon|chalk|"
    r"hand[- ]drawn|child'?s|cartoon|stylized|colou?red|cute|quick) )*"
)
_MEDIUM = re.compile(
    r"^(?:(?:there is |this is )?(?:an? |the )?"
    rf"(?:{_LOOKS}(?:close[- ]up|photo(?:graph)?) of (?:an? |the )?)*"
    rf"{_LOOKS}"
    r"(?:drawing|sketch|doodle|illustration|cartoon|line[- ]?art|picture|image|painting) of )+",
    re.IGNORECASE,
)
_PAPER = re.compile(
    r"\s+(?:on|against|with|in) (?:an? |the )?(?:plain )?(?:white|blank|black) "
    r"(?:background|paper|page|surface|(?:piece|sheet) of paper|chalkboard|blackboard)$",
    re.IGNORECASE,
)
