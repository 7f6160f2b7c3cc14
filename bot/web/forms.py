"""What can be asked for, as it is sent, and the requests that it becomes.

Only what is missing or of another type is refused here: what may be in a field is the requests' own
to say. The bounds in the document are theirs.
"""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from bot.errors import Refused
from bot.web.bodies import Body, unreadable
from bot.web.problems import Incomplete
from pipelines.contract.requests import (
    MAX_COUNT,
    MAX_NAME,
    MAX_PROMPT,
    MAX_SEED,
    MOTION,
    SCALES,
    STRENGTH,
    USUAL_MOTION,
    USUAL_STRENGTH,
    AnimateRequest,
    Aspect,
    ImagineRequest,
    SketchRequest,
    UpscaleRequest,
    seed_or_new,
)


class PictureOf(BaseModel):
    """A result of a job of yours, used as input."""

    model_config = ConfigDict(extra="forbid", strict=True)

    job: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{16}$"})]
    index: Annotated[int, Field(json_schema_extra={"minimum": 0})] = 0


def _picture(sent: Any) -> Any:
    """The bytes of base64, with or without `data:…,` before it; or which result is meant."""
    if isinstance(sent, dict):
        return PictureOf.model_validate(sent)
    if not isinstance(sent, str):
        return sent
    if sent.startswith("{"):  # a form's way to say which result is meant
        return PictureOf.model_validate_json(sent[:MAX_PROMPT])
    head, comma, tail = sent.partition(",")
    text = tail if comma and head.startswith("data:") else sent
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None


def _aspect(sent: Any) -> Any:
    """A shape by its name, in JSON too: there is no other way to say it there."""
    return Aspect(sent) if isinstance(sent, str) else sent


_REF = {"$ref": "#/components/schemas/PictureOf"}
_BASE64 = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "A picture as base64; a data: URL will do as well.",
}
Picture = Annotated[
    bytes | PictureOf,
    BeforeValidator(_picture),
    WithJsonSchema({"oneOf": [_BASE64, _REF]}),
]


def _text(description: str) -> Any:
    return Field(description=description, json_schema_extra={"maxLength": MAX_PROMPT})


def _number(description: str, least: int, most: int) -> Any:
    return Field(description=description, json_schema_extra={"minimum": least, "maximum": most})


Seed = Annotated[
    int | None,
    Field(description="The same seed gives the same result. Left out: a new one."),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_SEED}, {"type": "null"}]}
    ),
]
Name = Annotated[str | None, Field(max_length=MAX_NAME)]


class Form(BaseModel):
    """What is sent. An empty field of a form is one that was left out."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


F = TypeVar("F", bound=Form)


class SketchForm(Form):
    """Paint a drawing."""

    drawing: Picture
    """The drawing, or a photo of one."""
    prompt: Annotated[str, _text("What it should become. Left out: what the bot sees in it.")] = ""
    style: Name = None
    """A look, by a name of `/v1/options`."""
    strength: Annotated[
        int, _number("How firmly the lines are kept.", STRENGTH[0], STRENGTH[-1])
    ] = USUAL_STRENGTH
    lora: Name = None
    """A LoRA, by a name of `/v1/options`."""
    seed: Seed = None

    def request(self, drawing: Path | None) -> SketchRequest:
        """The request, of a stored picture."""
        assert drawing is not None
        return SketchRequest(
            drawing=drawing,
            prompt=self.prompt,
            style=self.style or None,
            strength=self.strength,
            lora=self.lora or None,
            seed=seed_or_new(self.seed),
        )


class ImagineForm(Form):
    """Paint words."""

    prompt: Annotated[str, _text("What to paint.")]
    negative: Annotated[str, _text("What to keep out of the picture.")] = ""
    aspect: Annotated[Aspect, BeforeValidator(_aspect)] = Aspect.SQUARE
    """Width to height."""
    count: Annotated[int, _number("How many pictures.", 1, MAX_COUNT)] = 1
    lora: Name = None
    """A LoRA, by a name of `/v1/options`."""
    seed: Seed = None

    def request(self, _: Path | None) -> ImagineRequest:
        """The request."""
        return ImagineRequest(
            prompt=self.prompt,
            negative=self.negative,
            aspect=self.aspect,
            count=self.count,
            lora=self.lora or None,
            seed=seed_or_new(self.seed),
        )


class AnimateForm(Form):
    """Set a picture in motion, or what a prompt describes: one of the two."""

    image: Picture | None = None
    """The picture to set in motion."""
    prompt: Annotated[str, _text("What to paint and then set in motion.")] = ""
    motion: Annotated[int, _number("How much moves.", MOTION[0], MOTION[-1])] = USUAL_MOTION
    seed: Seed = None

    def request(self, image: Path | None) -> AnimateRequest:
        """The request, of a stored picture or of none."""
        return AnimateRequest(
            image=image, prompt=self.prompt, motion=self.motion, seed=seed_or_new(self.seed)
        )


class UpscaleForm(Form):
    """Make a picture larger."""

    image: Picture
    """The picture to make larger."""
    scale: Annotated[int, Field(json_schema_extra={"enum": list(SCALES)})] = SCALES[0]
    """How many times as wide and as high."""

    def request(self, image: Path | None) -> UpscaleRequest:
        """The request, of a stored picture."""
        assert image is not None
        return UpscaleRequest(image=image, scale=self.scale)


AnyForm = SketchForm | ImagineForm | AnimateForm | UpscaleForm
FORMS: dict[str, type[AnyForm]] = {
    "sketch": SketchForm,
    "imagine": ImagineForm,
    "animate": AnimateForm,
    "upscale": UpscaleForm,
}


def filled(form: type[F], body: Body) -> F:
    """A form with what was sent. Raises Incomplete, BadInput."""
    fields = body.fields
    if body.is_form:
        fields = {name: value for name, value in fields.items() if value not in ("", b"")}
    try:
        return form.model_validate(fields, strict=not body.is_form)
    except ValidationError as error:
        raise _incomplete(form, error, body) from None


def picture_of(form: AnyForm) -> bytes | PictureOf | None:
    """The picture that was sent with it, or is meant."""
    found: bytes | PictureOf | None = getattr(form, "drawing", getattr(form, "image", None))
    return found


def _incomplete(form: type[Form], error: ValidationError, body: Body) -> Refused:
    first = error.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:  # of a name that is no text
        return unreadable(is_form=body.is_form)
    name = str(first["loc"][0])[:60]
    field = body.sent_as.get(name, name)
    match first["type"]:
        case "missing":
            return Incomplete("“{field}” is missing: please send it.", field=field)
        case "extra_forbidden":
            return Incomplete(
                "There is no field “{field}” here. Those that there are: {fields}.",
                field=field,
                fields=", ".join(form.model_fields),
            )
    return _unlike(form, name, field)


def _unlike(form: type[Form], name: str, field: str) -> Incomplete:
    """Says what a field has to be, by the name by which it was sent."""
    told: Any = form.model_fields[name].json_schema_extra or {}
    match name:
        case "drawing" | "image":
            return Incomplete(
                "“{field}” is no picture: please send a file, or base64, or a result as "
                "{{“job”: …, “index”: …}}.",
                field=field,
            )
        case "aspect" | "scale":
            values = ", ".join(map(str, told.get("enum", Aspect)))
            return Incomplete("“{field}” is one of these: {values}.", field=field, values=values)
        case "strength" | "count" | "motion" | "seed":
            return Incomplete(
                "“{field}” is a whole number from {least} to {most}.",
                field=field,
                least=told.get("minimum", 0),
                most=told.get("maximum", MAX_SEED),
            )
    return Incomplete(
        "“{field}” is text of at most {most} characters.",
        field=field,
        most=told.get("maxLength", MAX_NAME),
    )
