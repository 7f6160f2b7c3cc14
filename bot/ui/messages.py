"""The messages that a job has in the channel, from waiting to its end.

They speak the language of the member who asked.
"""

from collections.abc import Collection, Iterator, Sequence

import discord
from discord import ui

from bot.jobs.job import Job, Status
from bot.languages import Language, language
from bot.ui.buttons import Action, JobButton
from bot.ui.text import bar, countdown, plain, seconds
from bot.ui.views import view_of
from pipelines.catalog import ModelKey
from pipelines.contract.context import Phase, Progress
from pipelines.contract.requests import (
    MAX_PROMPT,
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
    clean_text,
    only_looks,
    seed_after,
)
from pipelines.contract.text import Counted, Text

GREY, AMBER, GREEN, RED = (discord.Colour(c) for c in (0x80848E, 0xF0B232, 0x3BA55C, 0xDA373C))

# Markdown characters for what people typed; all of them together stay far below Discord's 4000.
PROMPT_ROOM, NEGATIVE_ROOM, CAPTION_ROOM = 1200, 500, 300
ALT_TEXT = 256
PREVIEW = "preview.jpg"

PHASES = {
    Phase.LOADING: Text("**Loading the models**"),
    Phase.CAPTIONING: Text("**Looking at the picture**"),
    Phase.PAINTING: Text("**Painting**"),
    Phase.ANIMATING: Text("**Animating**"),
    Phase.UPSCALING: Text("**Upscaling**"),
    Phase.ENCODING: Text("**Saving**"),
}
# The same request would end the same way.
HOPELESS = frozenset({"bad_input", "too_large", "withheld", "word"})
BEHIND = Text(
    "You have used your share of the graphics card for today, so this waits behind others: it "
    "begins when nobody else needs the card."
)
WITHHELD = Text(
    "**Not shown**\nThis shows something that is not allowed in this channel. It was looked at "
    "by a program, which can be wrong: please ask for it in other words, or with another seed."
)
ENDED = (Action.EDIT, Action.DELETE)
PICTURES = (
    Action.AGAIN,
    Action.VARY,
    Action.UPSCALE,
    Action.EDIT,
    Action.ANIMATE,
    Action.DELETE,
)
UPSCALED = (Action.ANIMATE, Action.DELETE)  # the same again would be the same
DESCRIBED = (Action.IMAGINE, Action.SKETCH, Action.UPSCALE, Action.ANIMATE, Action.DELETE)
REVIEW = (Action.PAINT, Action.EDIT, Action.DELETE)
VIDEOS = (Action.AGAIN, Action.EDIT, Action.DELETE)
NEEDS = {
    Action.IMAGINE: ModelKey.IMAGINE,
    Action.SKETCH: ModelKey.SKETCH,
    Action.ANIMATE: ModelKey.ANIMATE,
    Action.UPSCALE: ModelKey.UPSCALE,
}
"""The models without which a button would only be refused."""
ROW = 5  # buttons that Discord takes in one


def waiting(job: Job, place: int | None, begins: float | None = None) -> ui.LayoutView:
    """A job in the queue. `place` is 1 for the next to run; None where it is not known.

    `begins` is when it should begin, as Unix time: Discord counts down to it without an edit.
    """
    headline = [Text("**Waiting**"), _place(place)]
    if begins is not None:
        headline.append(Text("begins {when}", when=countdown(begins)))
    text = _joined(job, headline)
    if job.relaxed:
        text += f"\n-# {_reader(job).say(BEHIND)}"
    return _message(GREY, text, job, [Action.CANCEL])


def running(job: Job, progress: Progress | None, ends: float | None = None) -> ui.LayoutView:
    """A job on the GPU. `ends` is when it should be done, as Unix time.

    Where there is a preview, it is the file PREVIEW of the same message.
    """
    if progress is None:
        return _message(AMBER, _joined(job, [Text("**Starting**")]), job, [Action.CANCEL])
    headline = [PHASES[progress.phase]]
    if progress.of:
        headline.append(Text("step {step} of {of}", step=progress.step, of=progress.of))
        if ends is not None:
            headline.append(Text("done {when}", when=countdown(ends)))
    text = _joined(job, headline)
    if progress.of:
        text += f"\n{bar(progress.step, progress.of)}"
    shown = []
    if progress.preview:
        alt = _reader(job).say("What it is so far")
        item = discord.MediaGalleryItem(f"attachment://{PREVIEW}", description=alt)
        shown.append(ui.MediaGallery[ui.LayoutView](item))
    return _message(AMBER, text, job, [Action.CANCEL], shown=shown)


def finished(
    job: Job,
    names: Sequence[str],
    *,
    beside: Sequence[str] = (),
    spoiler: bool = False,
    models: Collection[ModelKey] = tuple(ModelKey),
) -> ui.LayoutView:
    """The result: the message's files `names` in a gallery, and what was asked.

    A description or a review shows the picture and what is in it. The files `beside` are offered
    for saving. With `spoiler` all is veiled until somebody clicks on it. There are no buttons for
    what needs other `models` than are set up.
    """
    alt = (asked_for(job) or job.caption or _reader(job).say(_alt(job.request)))[:ALT_TEXT]
    gallery = ui.MediaGallery[ui.LayoutView](
        *(
            discord.MediaGalleryItem(f"attachment://{name}", description=alt, spoiler=spoiler)
            for name in names
        )
    )
    colour, headline, actions = _ending(job)
    offered = [action for action in actions if NEEDS.get(action) in (None, *models)]
    files = [ui.File[ui.LayoutView](f"attachment://{n}", spoiler=spoiler) for n in beside]
    return _message(colour, headline, job, offered, shown=(gallery, *files))


def _ending(job: Job) -> tuple[discord.Colour, str | None, Sequence[Action]]:
    """What is said above a result, if anything, and what can be done with it."""
    match job.request:
        case DescribeRequest():
            actions = DESCRIBED if job.caption else DESCRIBED[1:]  # no words, nothing to imagine
            return GREEN, _description(job), actions
        case SketchRequest(review=True):
            return AMBER, _question(job), REVIEW
        case AnimateRequest():
            return GREEN, None, VIDEOS
        case UpscaleRequest():
            return GREEN, None, UPSCALED
    return GREEN, None, PICTURES


def _description(job: Job) -> str:
    """What a picture shows."""
    return plain(job.caption, PROMPT_ROOM) or _reader(job).say("I have no words for this picture.")


def _question(job: Job) -> str:
    """What the drawing will be taken for, and what can be done about it."""
    if not job.caption:
        return _reader(job).say(
            "**I cannot tell what this is.**\n**Edit…** lets you say it; with **Go** I follow the "
            "lines alone."
        )
    return _reader(job).say(
        "**I take this for:** {caption}\n**Go** paints it so; **Edit…** lets you put it right "
        "first.",
        caption=plain(job.caption, CAPTION_ROOM),
    )


def _alt(request: Request) -> Text:
    return Text("An animation") if isinstance(request, AnimateRequest) else Text("A picture")


def withheld(job: Job) -> ui.LayoutView:
    """A result that is not for this channel."""
    headline = _reader(job).say(WITHHELD)
    again = [] if isinstance(job.request, UpscaleRequest) else [Action.AGAIN]
    return _message(RED, headline, job, [*again, *_endings(job)])


def ended(job: Job) -> ui.LayoutView:
    """A job that ended without a result, and why."""
    if job.status is Status.CANCELLED:
        return _message(
            GREY, _reader(job).say("**Cancelled**"), job, [Action.AGAIN, *_endings(job)]
        )
    headline, why = _reader(job).say("**That did not work**"), reason(job)
    why = _reader(job).say(why) if isinstance(why, Text) else why
    again = [] if job.error_code in HOPELESS else [Action.AGAIN]
    actions = [*again, *_endings(job)]
    return _message(RED, f"{headline}\n{plain(why, 600)}", job, actions)


def _endings(job: Job) -> Sequence[Action]:
    """The last buttons: no Edit… where there is nothing to edit, as in /describe and /upscale."""
    bare = isinstance(job.request, DescribeRequest | UpscaleRequest)
    return [Action.DELETE] if bare else ENDED


def _reader(job: Job) -> Language:
    """The language of the member who asked."""
    return language(str(job.origin.get("locale", "")))


def _joined(job: Job, parts: Sequence[Text]) -> str:
    return " · ".join(map(_reader(job).say, parts))


def _place(place: int | None) -> Text:
    if place is None:
        return Text("in line")
    return Text("next in line") if place == 1 else Text("place {place} in line", place=place)


def reason(job: Job) -> Text | str:
    """Why a job failed; rows of earlier versions know it in English only."""
    return job.error_text or job.error_sentence or Text("The reason is not known.")


def _message(
    colour: discord.Colour,
    headline: str | None,
    job: Job,
    actions: Sequence[Action],
    *,
    shown: Sequence[ui.MediaGallery[ui.LayoutView] | ui.File[ui.LayoutView]] = (),
) -> ui.LayoutView:
    """Every message of a job: a headline, what it shows, what was asked, and the buttons."""
    container = ui.Container[ui.LayoutView](accent_colour=colour)
    for item in shown:
        container.add_item(item)
    if headline is not None:
        container.add_item(ui.TextDisplay(headline)).add_item(ui.Separator())
    container.add_item(ui.TextDisplay(_asked(job)))
    for row in _rows(actions):
        buttons = (JobButton(action, job.id, reader=_reader(job)) for action in row)
        container.add_item(ui.ActionRow(*buttons))
    return view_of(container)


def _rows(actions: Sequence[Action]) -> list[Sequence[Action]]:
    """The buttons in one row, or in two that are about as long."""
    if len(actions) <= ROW:
        return [actions]
    half = (len(actions) + 1) // 2
    return [actions[:half], actions[half:]]


def _asked(job: Job) -> str:
    """What was asked and, as far as it is known, what it became."""
    request, say = job.request, _reader(job).say
    lines = [plain(prompt, PROMPT_ROOM)] if (prompt := asked_for(job)) else []
    if isinstance(request, ImagineRequest) and request.negative:
        negative = plain(request.negative, NEGATIVE_ROOM)
        lines.append(say("-# without: {negative}", negative=negative))
    if (caption := job.caption) and not only_looks(request):
        lines.append(say("-# caption: {caption}", caption=plain(caption, CAPTION_ROOM)))
    details = (say(each) if isinstance(each, Text) else each for each in _details(job))
    lines.append("-# " + " · ".join(details))
    return "\n".join(lines)


def _details(job: Job) -> Iterator[str | Text]:
    request = job.request
    yield f"`/{request.kind}`"
    match request:
        case SketchRequest():
            if request.style:
                yield plain(request.style, 60)
            yield from _looks(job, request)
            yield Text("strength {strength}", strength=request.strength)
        case ImagineRequest():
            yield from _looks(job, request)
            yield str(request.aspect)
        case AnimateRequest():
            yield Text("motion {motion}", motion=request.motion)
        case UpscaleRequest():
            yield Text("upscaled ×{scale}", scale=request.scale)
            yield from (f"{each.width} × {each.height}" for each in job.artifacts)
    if request.seed is not None:
        yield _seeds(request.seed, getattr(request, "count", 1))
    if times := len(getattr(request, "variations", ())):
        yield Counted("varied", "varied {n} times", times)
    if job.status is Status.RENDERED or job.status is Status.DELIVERED:
        yield seconds(job.gpu_seconds)
    yield Text("for {member}", member=f"<@{job.owner}>")


def asked_for(job: Job) -> str:
    """What was asked for, or what a picture that was made larger is known to have been made of."""
    return job.request.prompt or clean_text(str(job.facts.get("prompt", ""))[:MAX_PROMPT])


def _looks(job: Job, request: SketchRequest | ImagineRequest) -> Iterator[str | Text]:
    """The LoRA, which may be the style's, preset, precision and steps that were not computed, as
    far as they are known."""
    facts = job.facts
    looks = (facts.get("lora", request.lora), facts.get("preset"), facts.get("precision"))
    yield from (plain(str(look), 60) for look in looks if look)
    if computed := facts.get("computed"):
        yield Text(
            "{computed} of {steps} steps computed", computed=computed, steps=facts.get("steps", "?")
        )


def _seeds(seed: int, count: int) -> Text:
    """`seed 7`, or `seeds 7–10`; as in the pipeline, seeds start again at 0 after the last."""
    if count == 1:
        return Text("seed {seed}", seed=seed)
    return Text("seeds {first}–{last}", first=seed, last=seed_after(seed, count - 1))
