"""`python -m bot render`: the bot's own Runner on one request, without Discord.

Runs on the calling thread, with a progress bar. Ctrl-C cancels between two steps.
"""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bot.config import Config
from bot.runner import build_runner
from pipelines.contract.artifact import Artifact, MediaType
from pipelines.contract.context import Phase, RunContext
from pipelines.contract.context import Progress as Step
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import Kind, Request
from pipelines.media import convert
from pipelines.uploads import vet

ENDINGS = {
    ".png": MediaType.PNG,
    ".webp": MediaType.WEBP,
    ".jpg": MediaType.JPEG,
    ".jpeg": MediaType.JPEG,
    ".mp4": MediaType.MP4,
}
WORDS = {
    Phase.LOADING: "loading the model",
    Phase.CAPTIONING: "looking at the picture",
    Phase.PAINTING: "painting",
    Phase.ANIMATING: "animating",
    Phase.UPSCALING: "upscaling",
    Phase.ENCODING: "encoding",
}
SHOWN_FACTS = (
    "caption",
    "prompt",
    "negative",
    "style",
    "lora",
    "preset",
    "precision",
    "computed",
    "strength",
    "motion",
    "seed",
    "scale",
)


def output_file(kind: Kind, seed: int | str, wanted: Path | None) -> Path:
    """Where the result goes: as wanted, or a new file here that is named after kind and seed.

    What has no seed is named after what tells it from others instead.
    Raises BadInput before any work is done for it.
    """
    video = kind is Kind.ANIMATE
    if wanted is None:
        new = _unused(Path(f"{kind}-{seed}{'.mp4' if video else '.png'}"))
        return _writable(new)
    media_type = ENDINGS.get(wanted.suffix.lower())
    if media_type is None or media_type.is_video is not video:
        fitting = ".mp4" if video else ".png, .webp or .jpg"
        raise BadInput(f"{wanted}: the result of {kind} is saved as {fitting}; correct -o.")
    if not wanted.parent.is_dir():
        raise BadInput(f"{wanted}: there is no folder {wanted.parent}; make it, or correct -o.")
    return _writable(wanted)


@contextmanager
def vetted(file: Path, config: Config, *, scale: int | None = None) -> Iterator[Path]:
    """A picture as the bot would keep it, for as long as the context lasts; with a `scale`, to
    become so much larger. Raises BadInput.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from error
    larger = config.models.larger(scale)
    png = vet(data, max_megapixels=config.limits.upload_megapixels, larger=larger)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vetted.png")
        path.write_bytes(png)
        yield path


def render(request: Request, config: Config, output: Path | None, console: Console) -> None:
    """Run `request`, save what it leaves as `output`, if that is wanted, and say how it was made.

    Raises what `Runner.run` raises, Cancelled after Ctrl-C among it.
    """
    begun = time.perf_counter()
    with painter(config, console) as paint:
        artifact = paint(request)
    if output is not None:
        _save(artifact, output)
    _report(artifact, output, time.perf_counter() - begun, console)


@contextmanager
def painter(config: Config, console: Console) -> Iterator[Callable[[Request], Artifact]]:
    """The Runner on the first device, for as long as the context lasts; yields what runs it."""
    with console.status("starting", spinner="dots"):
        runner = build_runner(config)

    def paint(request: Request) -> Artifact:
        with _bar(console) as show, _cancelled_by_ctrl_c() as cancel:
            ((artifact, *_),) = runner.run([request], RunContext(show, cancel))
        return artifact

    try:
        yield paint
    finally:
        runner.close()


def _save(artifact: Artifact, output: Path) -> None:
    media_type = ENDINGS[output.suffix.lower()]
    try:
        data = artifact.data  # a video is first written to a file of its own
        if media_type is not artifact.media_type:
            data = convert(data, media_type)
        output.write_bytes(data)
    except OSError as error:
        place = error.filename or output
        raise BadInput(f"{place} cannot be written: {error.strerror or error}.") from error


def _report(artifact: Artifact, output: Path | None, seconds: float, console: Console) -> None:
    for fact in SHOWN_FACTS:
        if (value := artifact.facts.get(fact, "")) != "":
            console.print(f"{fact:>9}  {value}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{'seconds':>9}  {seconds:.1f}", highlight=False)
    if output is None:
        return
    size = f"{artifact.width} × {artifact.height}"
    console.print(f"{'saved':>9}  {output} ({size})", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Step], None]]:
    """A bar on the console; yields what shows a step on it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[steps]}"),
        TimeElapsedColumn(),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task: TaskID = progress.add_task("starting", total=None, steps="")

        def show(step: Step) -> None:
            words = f"step {step.step} of {step.of}" if step.of else ""
            progress.update(
                task,
                description=WORDS[step.phase],
                completed=step.step,
                total=step.of or None,
                steps=words,
            )

        yield show


@contextmanager
def _cancelled_by_ctrl_c() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second ends the program at once."""
    cancel = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def _writable(path: Path) -> Path:
    """A file that can be written. Raises BadInput before hours of work are done for it."""
    if not os.access(path if os.access(path, os.F_OK) else path.parent, os.W_OK):
        raise BadInput(f"{path} may not be written by this user; name another file with -o.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file in it with -o.")
    return path


def _unused(path: Path) -> Path:
    """`path`, or with a number where that exists: another prompt may have had the same seed."""
    candidate, number = path, 2
    while candidate.exists():
        candidate = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return candidate
