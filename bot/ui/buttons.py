"""The buttons under a job's message. They hold the job's id, and so survive a restart."""

import re
from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol, Self, cast

import discord
from discord import ui

from bot.access import require_owner
from bot.errors import NoSuchJob, NotAllowed, Refused
from bot.jobs.job import Job, Status, StoredArtifact, only_child_id
from bot.jobs.queue import JobQueue
from bot.languages import ENGLISH, Language
from bot.ui.answers import answering, language_of
from bot.ui.asking import check_made
from bot.ui.editing import open_form
from bot.ui.following import next_request, submit_child
from bot.ui.origin import HasQueue, acknowledge, standing_of
from bot.ui.presses import Presses
from bot.ui.views import shown_texts, view_of
from pipelines.contract.requests import (
    SCALES,
    AnimateRequest,
    DescribeRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
    anew,
    new_seed,
    seed_after,
)
from pipelines.contract.text import Text


class Action(StrEnum):
    """What a button does to its job."""

    AGAIN = "again"
    VARY = "vary"
    UPSCALE = "upscale"
    EDIT = "edit"
    IMAGINE = "imagine"
    SKETCH = "sketch"
    ANIMATE = "animate"
    PAINT = "paint"
    DELETE = "delete"
    CANCEL = "cancel"
    SHOW = "show"


class HasPresses(Protocol):
    """What the buttons need of the client that hears them, beside its queue."""

    presses: Presses


LABELS = {
    Action.AGAIN: Text("Again"),
    Action.VARY: Text("Vary"),
    Action.UPSCALE: Text("Upscale"),
    Action.EDIT: Text("Edit…"),  # it opens something first
    Action.IMAGINE: Text("Imagine it…"),
    Action.SKETCH: Text("Sketch"),
    Action.ANIMATE: Text("Animate"),
    Action.PAINT: Text("Go"),
    Action.DELETE: Text("Delete"),
    Action.CANCEL: Text("Cancel"),
    Action.SHOW: Text("Show here"),
}
MAKING = (Action.AGAIN, Action.VARY, Action.UPSCALE, Action.SKETCH, Action.ANIMATE)
"""What would make something twice if it were pressed twice."""
NOT_YOURS = {
    Action.PAINT: Text("Only the member who asked for this, or a moderator, can have it painted."),
    Action.CANCEL: Text("Only the member who asked for this, or a moderator, can cancel it."),
    Action.DELETE: Text("Only the member who asked for this, or a moderator, can delete it."),
}
MENTION = re.compile(r"(?<!\\)<@(\d{1,20})>")
PRIMARY = (Action.AGAIN, Action.PAINT)
CUSTOM_ID = re.compile(
    rf"atelier:(?P<action>{'|'.join(Action)}):(?P<job_id>[0-9a-f]{{16}})"
    r"(?::(?P<picture>[1-9])(?::x(?P<scale>[24]))?)?"
)


class JobButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=CUSTOM_ID):
    """One action for one job, or for one of its pictures, of which the first is 1.

    `scale` is how much larger that is to become. `reader` is the language of its label, which
    nobody sees of a button that was pressed.
    """

    def __init__(
        self,
        action: Action,
        job_id: str,
        picture: int | None = None,
        scale: int | None = None,
        *,
        reader: Language = ENGLISH,
    ) -> None:
        style = discord.ButtonStyle.primary if action in PRIMARY else discord.ButtonStyle.secondary
        label = reader.say(LABELS[action]) if picture is None else str(picture)
        which = "" if picture is None else f":{picture}"
        if scale is not None:
            label, which = f"×{scale}", f"{which}:x{scale}"
        custom_id = f"atelier:{action}:{job_id}{which}"
        super().__init__(ui.Button(label=label, style=style, custom_id=custom_id))
        self.action = action
        self.job_id = job_id
        self.picture = picture
        self.scale = scale

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed; discord.py calls this."""
        picture, scale = (int(n) if n else None for n in match.group("picture", "scale"))
        return cls(Action(match["action"]), match["job_id"], picture, scale)

    async def callback(self, interaction: discord.Interaction) -> None:
        """Do what the label says; discord.py calls this."""
        queue = cast(HasQueue, interaction.client).queue
        presses = cast(HasPresses, interaction.client).presses
        async with answering(interaction):
            if self.action in MAKING and presses.is_double(interaction, self.item.custom_id or ""):
                await interaction.response.defer()
                return
            match self.action:
                case Action.AGAIN:
                    await _again(interaction, queue, self.job_id)
                case Action.VARY:
                    await _vary(interaction, queue, self.job_id, self.picture)
                case Action.UPSCALE:
                    await _upscale(interaction, queue, self)
                case Action.EDIT | Action.IMAGINE:
                    await open_form(interaction, queue, await queue.get(self.job_id))
                case Action.SKETCH | Action.ANIMATE:
                    await _use(interaction, queue, self.action, self.job_id, self.picture)
                case Action.PAINT:
                    await _go(interaction, queue, self.job_id)
                case Action.DELETE:
                    await _delete(interaction, queue, self.job_id)
                case Action.CANCEL:
                    await _cancel(interaction, queue, self.job_id)
                case Action.SHOW:
                    await _show(interaction, queue, self.job_id)


async def _again(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """The same request with a new seed, for whoever pressed."""
    origin = await acknowledge(interaction)
    job = await queue.get(job_id)
    await submit_child(interaction, queue, origin, job, anew(job.request, new_seed()))


async def _vary(
    interaction: discord.Interaction, queue: JobQueue, job_id: str, picture: int | None
) -> None:
    """The same picture a little otherwise, for whoever pressed."""
    job = await queue.get(job_id)
    request = job.request
    if isinstance(request, AnimateRequest):
        raise Refused("A video cannot be varied; Again makes another.")
    if isinstance(request, DescribeRequest):
        raise Refused("Nothing was made here that could be varied.")
    if isinstance(request, UpscaleRequest):
        raise Refused("A picture is varied before it is made larger: use Vary there.")
    count = getattr(request, "count", 1)
    if picture is None and count > 1:
        await _ask_which(interaction, Action.VARY, job_id, count)
        return
    origin = await acknowledge(interaction)
    seed = seed_after(request.seed, (picture or 1) - 1)
    changes: dict[str, Any] = {"seed": seed, "variations": (*request.variations, new_seed())}
    if isinstance(request, ImagineRequest):
        changes["count"] = 1
    await submit_child(interaction, queue, origin, job, replace(request, **changes))


async def _use(
    interaction: discord.Interaction,
    queue: JobQueue,
    action: Action,
    job_id: str,
    picture: int | None,
) -> None:
    """Set a picture in motion, or paint it as a drawing, for whoever pressed."""
    job = await queue.get(job_id)
    number = await _picked(interaction, action, job, picture)
    if number is None:
        return
    origin = await acknowledge(interaction)
    path = job.artifacts[number - 1].path
    request: Request = AnimateRequest(image=path, seed=new_seed())
    if action is Action.SKETCH:
        request = SketchRequest(drawing=path, seed=new_seed())
    await submit_child(interaction, queue, origin, job, request)


async def _go(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Paint what was reviewed, with the caption that was shown; once."""
    job = await queue.get(job_id)
    _require_owner(interaction, job.owner, Action.PAINT)
    if not (isinstance(job.request, SketchRequest) and job.request.review and job.artifacts):
        raise Refused("What I saw is no longer kept. Please send the drawing again.")
    origin = await acknowledge(interaction)
    only = only_child_id(job.id)
    await submit_child(interaction, queue, origin, job, next_request(job), job_id=only)


async def _upscale(interaction: discord.Interaction, queue: JobQueue, button: JobButton) -> None:
    """Make a result larger, for whoever pressed: which of several, and how much, is asked first."""
    job = await queue.get(button.job_id)
    number = await _picked(interaction, Action.UPSCALE, job, button.picture)
    if number is None:
        return
    chosen = job.artifacts[number - 1]
    if chosen.media_type.is_video:
        raise Refused("A video cannot be made larger, only a picture can.")
    if button.scale is None:
        await _ask_scale(interaction, job.id, number, chosen, asked=button.picture is not None)
        return
    origin = await acknowledge(interaction)
    request = UpscaleRequest(image=chosen.path, scale=button.scale)
    await submit_child(interaction, queue, origin, job, request)


async def _picked(
    interaction: discord.Interaction, action: Action, job: Job, number: int | None
) -> int | None:
    """The number of the picture of a job that is meant; None where whoever pressed is asked."""
    if not job.artifacts:
        raise Refused("The picture is no longer kept, so nothing can be made of it.")
    if number is None and len(job.artifacts) > 1:
        await _ask_which(interaction, action, job.id, len(job.artifacts))
        return None
    return min(number or 1, len(job.artifacts))


async def _ask_scale(
    interaction: discord.Interaction,
    job_id: str,
    number: int,
    picture: StoredArtifact,
    *,
    asked: bool,
) -> None:
    """Offer the scales to whoever pressed alone; if `asked`, in the place of that question."""
    say = language_of(interaction).say
    sizes = [f"×{scale}: {picture.width * scale} × {picture.height * scale}" for scale in SCALES]
    question = say("How much larger? In pixels, {sizes}.", sizes=", ".join(sizes))
    offered = (JobButton(Action.UPSCALE, job_id, number, scale) for scale in SCALES)
    view = view_of(question, ui.ActionRow(*offered))
    if asked:
        await interaction.response.edit_message(view=view)
    else:
        await interaction.response.send_message(view=view, ephemeral=True)


async def _ask_which(
    interaction: discord.Interaction, action: Action, job_id: str, count: int
) -> None:
    """Offer the pictures of a job by their numbers, to whoever pressed alone."""
    question = language_of(interaction).say("Which of them? They are counted from the top left.")
    offered = (JobButton(action, job_id, number) for number in range(1, count + 1))
    view = view_of(question, ui.ActionRow(*offered))
    await interaction.response.send_message(view=view, ephemeral=True)


async def _cancel(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Stop a job. The message itself changes when the job has ended."""
    await interaction.response.defer()
    job = await queue.get(job_id)
    _require_owner(interaction, job.owner, Action.CANCEL)
    job = await queue.cancel(job_id)
    if job.status is Status.RUNNING:
        say = language_of(interaction).say
        await interaction.followup.send(
            say("It will stop after the step it is on."), ephemeral=True
        )


async def _show(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Post a result that could not be shown before, for everyone here. Its owner alone may."""
    job = await queue.get(job_id)
    if interaction.user.id != job.owner:
        raise NotAllowed("Only the member who asked for this can have it shown.")
    check_made(interaction, queue, job.request)
    origin = await acknowledge(interaction)
    await queue.hand_over(job_id, origin.to_json(), standing_of(interaction))


async def _delete(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Drop the job's results, then the message."""
    await interaction.response.defer()
    try:
        job = await queue.get(job_id)
        _require_owner(interaction, job.owner, Action.DELETE)
        await queue.erase(job_id)
    except NoSuchJob:
        _require_owner(interaction, _asker(interaction), Action.DELETE)
    try:
        await interaction.delete_original_response()
    except discord.NotFound:
        raise NoSuchJob("It has been deleted already.") from None


def _require_owner(interaction: discord.Interaction, owner: int, action: Action) -> None:
    moderates = interaction.permissions.manage_messages
    require_owner(owner, interaction.user.id, moderates=moderates, refusal=NOT_YOURS[action])


def _asker(interaction: discord.Interaction) -> int:
    """Who asked for a message whose job the store has since forgotten; 0 if it does not say.

    Discord knows of what answers an interaction. What was posted anew names its member last, where
    nobody else writes: mentions in prompts are none.
    """
    message = interaction.message
    if message is None:
        return 0
    if message.interaction_metadata is not None:
        return message.interaction_metadata.user.id
    named = [found for text in shown_texts(message) for found in MENTION.findall(text)]
    return int(named[-1]) if named else 0
