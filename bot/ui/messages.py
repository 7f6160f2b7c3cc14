"""The messages that a job has in the channel, from waiting to its end."""

from collections.abc import Sequence

import discord
from discord import ui

from bot.jobs.job import Job, Status
from bot.ui.buttons import Action, JobButton
from bot.ui.text import bar, countdown, ordinal, plain, seconds
from pipelines.contract.context import Phase, Progress
from pipelines.contract.requests import (
    MAX_PROMPT,
    AnimateRequest,
    ImagineRequest,
    SketchRequest,
    clean_text,
    seed_after,
)

GREY, AMBER, GREEN, RED = (discord.Colour(c) for c in (0x80848E, 0xF0B232, 0x3BA55C, 0xDA373C))

# Markdown characters for what people typed; all of them together stay far below Discord's 4000.
PROMPT_ROOM, NEGATIVE_ROOM, CAPTION_ROOM = 1200, 500, 300
ALT_TEXT = 256
PREVIEW = "preview.jpg"

PHASES = {
    Phase.LOADING: "Loading the models",
    Phase.CAPTIONING: "Looking at the drawing",
    Phase.PAINTING: "Painting",
    Phase.ANIMATING: "Animating",
    Phase.ENCODING: "Saving",
}
# The same request would end the same way.
HOPELESS = frozenset({"bad_input", "too_large", "withheld"})
ENDED = (Action.EDIT, Action.DELETE)
PICTURES = (Action.AGAIN, Action.VARY, Action.EDIT, Action.ANIMATE, Action.DELETE)
VIDEOS = (Action.AGAIN, Action.EDIT, Action.DELETE)


def waiting(job: Job, place: int | None, begins: float | None = None) -> ui.LayoutView:
    """A job in the queue. `place` is 1 for the next to run; None where it is not known.

    `begins` is when it should begin, as Unix time: Discord counts down to it without an edit.
    """
    if place is None:
        where = "in line"
    else:
        where = "next in line" if place == 1 else f"{ordinal(place)} in line"
    if begins is not None:
        where += f", begins {countdown(begins)}"
    return _message(GREY, f"**Waiting** · {where}", job, [Action.CANCEL])


def running(job: Job, progress: Progress | None, ends: float | None = None) -> ui.LayoutView:
    """A job on the GPU. `ends` is when it should be done, as Unix time.

    Where there is a preview, it is the file PREVIEW of the same message.
    """
    if progress is None:
        return _message(AMBER, "**Starting**", job, [Action.CANCEL])
    headline = f"**{PHASES[progress.phase]}**"
    if progress.of:
        headline += f" · step {progress.step} of {progress.of}"
        if ends is not None:
            headline += f" · done {countdown(ends)}"
        headline += f"\n{bar(progress.step, progress.of)}"
    gallery = None
    if progress.preview:
        item = discord.MediaGalleryItem(f"attachment://{PREVIEW}", description="What it is so far")
        gallery = ui.MediaGallery[ui.LayoutView](item)
    return _message(AMBER, headline, job, [Action.CANCEL], gallery=gallery)


def finished(job: Job, names: Sequence[str], *, spoiler: bool = False) -> ui.LayoutView:
    """The result: the files `names` of the same message in a gallery, and what was asked.

    With `spoiler` it is veiled until somebody clicks on it.
    """
    alt = (job.request.prompt or _caption(job) or "An animation")[:ALT_TEXT]
    gallery = ui.MediaGallery[ui.LayoutView](
        *(
            discord.MediaGalleryItem(f"attachment://{name}", description=alt, spoiler=spoiler)
            for name in names
        )
    )
    actions = VIDEOS if isinstance(job.request, AnimateRequest) else PICTURES
    return _message(GREEN, None, job, actions, gallery=gallery)


def withheld(job: Job) -> ui.LayoutView:
    """A result that is not for this channel."""
    headline = (
        "**Not shown**\nThis shows something that is not allowed in this channel. It was looked at "
        "by a program, which can be wrong: please ask for it in other words, or with another seed."
    )
    return _message(RED, headline, job, [Action.AGAIN, *ENDED])


def ended(job: Job) -> ui.LayoutView:
    """A job that ended without a result, and why."""
    if job.status is Status.CANCELLED:
        return _message(GREY, "**Cancelled**", job, [Action.AGAIN, *ENDED])
    sentence = plain(job.error_sentence or "Nobody knows why.", 600)
    actions = ENDED if job.error_code in HOPELESS else [Action.AGAIN, *ENDED]
    return _message(RED, f"**That did not work**\n{sentence}", job, actions)


def _message(
    colour: discord.Colour,
    headline: str | None,
    job: Job,
    actions: Sequence[Action],
    *,
    gallery: ui.MediaGallery[ui.LayoutView] | None = None,
) -> ui.LayoutView:
    """Every message of a job: a headline, a gallery, what was asked, and the buttons."""
    container = ui.Container[ui.LayoutView](accent_colour=colour)
    if gallery is not None:
        container.add_item(gallery)
    if headline is not None:
        container.add_item(ui.TextDisplay(headline)).add_item(ui.Separator())
    container.add_item(ui.TextDisplay(_asked(job)))
    container.add_item(ui.ActionRow(*(JobButton(action, job.id) for action in actions)))
    view = ui.LayoutView(timeout=None)
    view.add_item(container)
    return view


def _asked(job: Job) -> str:
    """What was asked and, as far as it is known, what it became."""
    request = job.request
    lines = [plain(request.prompt, PROMPT_ROOM)] if request.prompt else []
    if isinstance(request, ImagineRequest) and request.negative:
        lines.append(f"-# without: {plain(request.negative, NEGATIVE_ROOM)}")
    if caption := _caption(job):
        lines.append(f"-# caption: {plain(caption, CAPTION_ROOM)}")
    lines.append("-# " + " · ".join(_details(job)))
    return "\n".join(lines)


def _details(job: Job) -> list[str]:
    request = job.request
    details = [f"`/{request.kind}`"]
    match request:
        case SketchRequest():
            details += [plain(request.style, 60)] if request.style else []
            details += _looks(job, request)
            details.append(f"strength {request.strength}")
        case ImagineRequest():
            details += _looks(job, request)
            details.append(str(request.aspect))
        case AnimateRequest():
            details.append(f"motion {request.motion}")
    details.append(_seeds(request.seed, getattr(request, "count", 1)))
    if times := len(getattr(request, "variations", ())):
        details.append("varied" if times == 1 else f"varied {times} times")
    if job.status is Status.RENDERED or job.status is Status.DELIVERED:
        details.append(seconds(job.gpu_seconds))
    return [*details, f"for <@{job.owner}>"]


def _looks(job: Job, request: SketchRequest | ImagineRequest) -> list[str]:
    """The LoRA, which may be the style's, and the preset, as far as they are known."""
    facts = job.facts
    looks = (facts.get("lora", request.lora), facts.get("preset"))
    return [plain(str(look), 60) for look in looks if look]


def _seeds(seed: int, count: int) -> str:
    """`seed 7`, or `seeds 7–10`; as in the pipeline, seeds start again at 0 after the last."""
    last = seed_after(seed, count - 1)
    return f"seed {seed}" if count == 1 else f"seeds {seed}–{last}"


def _caption(job: Job) -> str:
    """What the captioner saw in the drawing, if that is known."""
    return clean_text(str(job.facts.get("caption", ""))[:MAX_PROMPT])
