"""A runner without models: small pictures that follow from the request alone, in milliseconds."""

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.errors import CardLost
from pipelines.contract.requests import (
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Kind,
    Request,
    SketchRequest,
    UpscaleRequest,
)
from pipelines.contract.runner import Artifacts
from pipelines.facts import read_facts
from pipelines.media import encode_mp4, encode_png, encode_preview, open_picture

DEADLY = "deadly"
"""A prompt with this word kills the process that runs it."""
LOSING = "losing"
"""A prompt with this word loses the card."""
LARGE = "large"
"""A prompt with this word is painted in 3 MB."""
CAPTION = "a drawing of noise"
"""What is seen in every drawing."""
Facts = dict[str, str | int | float]
SMALL_SIDE, LARGE_SIDE, FRAMES, FPS = 64, 1024, 6, 7


@dataclass(eq=False)
class Studio:
    """How the runner behaves, and what it ran. While `gate` is closed no run passes a step."""

    steps: int = 3
    step_seconds: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)
    runs: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()


class LightRunner:
    """A RunnerLike for tests of everything but the pipelines."""

    def __init__(self, studio: Studio | None = None) -> None:
        self._studio = studio or Studio()

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        return tuple([self._run(each, context.of(n)) for n, each in enumerate(requests)])

    def preload(self) -> bool:
        return False

    def resident(self) -> frozenset[str]:
        return frozenset()

    def batches(self) -> dict[Kind, int]:
        return {}

    def close(self) -> None: ...

    def _run(self, request: Request, context: RunContext) -> Artifacts:
        studio = self._studio
        studio.runs.append(request)
        for step in range(studio.steps):
            context.step(Phase.PAINTING, step, studio.steps)
            while not studio.gate.wait(0.005):
                self._look(request, context)
                context.step(Phase.PAINTING, step, studio.steps)
            time.sleep(studio.step_seconds)
            self._look(request, context)
            if step == 0 and isinstance(request, SketchRequest):
                context.allow(request.caption or CAPTION)
            if DEADLY in request.prompt:
                os.kill(os.getpid(), signal.SIGKILL)
            if LOSING in request.prompt:
                raise CardLost.named("The card")
        context.step(Phase.ENCODING)
        return paint(request)

    @staticmethod
    def _look(request: Request, context: RunContext) -> None:
        """Make a preview, where one is wanted."""
        for viewer in context.viewers:
            if viewer.wants():
                viewer.show(encode_preview(_picture(request, 0)))


def paint(request: Request) -> Artifacts:
    """What the runner makes of a request: the same bytes every time."""
    if isinstance(request, AnimateRequest):
        frames = [_picture(request, n) for n in range(FRAMES)]
        facts: Facts = {"prompt": request.prompt, "seed": request.seed, "motion": request.motion}
        return (_artifact(encode_mp4(frames, FPS, facts), MediaType.MP4, request, facts, 0),)
    if isinstance(request, DescribeRequest) or (
        isinstance(request, SketchRequest) and request.review
    ):
        return (_seen(request),)
    if isinstance(request, UpscaleRequest):
        return (_larger(request),)
    count = request.count if isinstance(request, ImagineRequest) else 1
    return tuple(_still(request, number) for number in range(count))


def _seen(request: DescribeRequest | SketchRequest) -> Artifact:
    """The picture as it was given, and what it shows."""
    file = request.image if isinstance(request, DescribeRequest) else request.drawing
    facts: Facts = {"caption": "a drawing of noise"}
    return _artifact(file.read_bytes(), MediaType.PNG, request, facts, 0)


def _still(request: Request, number: int) -> Artifact:
    facts: Facts = {"prompt": request.prompt, "seed": (request.seed or 0) + number}
    if isinstance(request, SketchRequest):
        facts["caption"] = CAPTION
    data = encode_png(_picture(request, number), facts)
    return _artifact(data, MediaType.PNG, request, facts, number)


def _larger(request: UpscaleRequest) -> Artifact:
    """Pixels as they were, only larger."""
    picture = open_picture(request.image)
    size = (picture.width * request.scale, picture.height * request.scale)
    facts: Facts = {**read_facts(request.image.read_bytes()), "scale": request.scale}
    made = _artifact(encode_png(picture.resize(size), facts), MediaType.PNG, request, facts, 0)
    return replace(made, width=size[0], height=size[1])


def _side(request: Request) -> int:
    return LARGE_SIDE if LARGE in request.prompt else SMALL_SIDE


def _picture(request: Request, number: int) -> Image.Image:
    side = _side(request)
    noise = random.Random(f"{request.kind}:{request.prompt}:{request.seed}:{number}")
    return Image.frombytes("RGB", (side, side), noise.randbytes(side * side * 3))


def _artifact(
    data: bytes,
    media_type: MediaType,
    request: Request,
    facts: Facts,
    number: int,
) -> Artifact:
    return Artifact(
        encode=lambda _: data,
        media_type=media_type,
        name=f"{request.kind}-{request.seed}-{number}{media_type.suffix}",
        width=_side(request),
        height=_side(request),
        facts=facts,
    )
