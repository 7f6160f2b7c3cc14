"""Edit…: a job's request as a form, and what is sent off becomes a job of its own."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import discord
from discord import ui

from bot.errors import Refused
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.permutations import literal
from bot.ui.answers import language_of
from bot.ui.asking import check
from bot.ui.following import next_request, require_made_here
from bot.ui.forms import Label, Say, show_form, written
from bot.ui.proposals import submit_or_ask
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import (
    MAX_PROMPT,
    MOTION,
    NAMES,
    STRENGTH,
    AnimateRequest,
    ImagineRequest,
    Request,
    SketchRequest,
    UpscaleRequest,
    anew,
    new_seed,
    only_looks,
)
from pipelines.contract.text import Text

EXAMPLE = "{red, blue}"
FORM_ID = re.compile(r"atelier:edit:(?P<job_id>[0-9a-f]{16}):[0-9]+")
NUMBERS = {
    "strength": Text("{least} (free) to {most} (held)", least=STRENGTH[0], most=STRENGTH[-1]),
    "motion": Text("{least} (still) to {most} (lively)", least=MOTION[0], most=MOTION[-1]),
    "seed": Text("The same seed gives the same picture; empty: a new one"),
}
"""The fields that take a whole number, and what it means."""


async def open_form(interaction: discord.Interaction, queue: JobQueue, job: Job) -> None:
    """Show the form, filled in as the job was asked for, or with what it leads to.

    Raises BadInput where that could not be made, NotAllowed where it is not for that member.
    """
    request = next_request(job)
    queue.check_catalog(request)
    check(interaction, queue, request)
    say = language_of(interaction).say
    await show_form(interaction, say(_title(job)), f"atelier:edit:{job.id}", _labels(job, say))


def _title(job: Job) -> Text:
    return (
        Text("Edit, then make it") if only_looks(job.request) else Text("Edit, then make it again")
    )


def _labels(job: Job, say: Say) -> Iterator[Label]:
    match request := next_request(job):
        case ImagineRequest():
            yield _prompt(request, say, required=True)
            yield _text(say("What to keep out of the picture"), "negative", request.negative)
        case SketchRequest():
            yield _prompt(request, say)
            yield _text(say("What the drawing shows"), "caption", request.caption or job.caption)
            yield _line(say("Strength"), "strength", request.strength, say)
        case AnimateRequest():
            if request.image is None:
                yield _prompt(request, say, required=True)
            yield _line(say("Motion"), "motion", request.motion, say)
        case UpscaleRequest():
            raise Refused("There is nothing to edit in this: edit what it was made from.")
    if request.seed is not None:
        yield _line(say("Seed"), "seed", request.seed, say, required=False)


def _prompt(request: Request, say: Say, *, required: bool = False) -> Label:
    """The prompt, its braces written so that they stand for themselves as they did."""
    label = _text(say("Prompt"), "prompt", literal(request.prompt), required=required)
    braces = Text("Write {example} for one result of each", example=EXAMPLE)
    label.description = say(braces)
    return label


def _text(name: str, field: str, value: str, *, required: bool = False) -> Label:
    return ui.Label(
        text=name,
        component=ui.TextInput(
            custom_id=field,
            style=discord.TextStyle.paragraph,
            default=value,
            required=required,
            max_length=max(MAX_PROMPT, len(value)),
        ),
    )


def _line(name: str, field: str, value: int, say: Say, *, required: bool = True) -> Label:
    return ui.Label(
        text=name,
        description=say(NUMBERS[field]),
        component=ui.TextInput(
            custom_id=field, default=str(value), required=required, max_length=10
        ),
    )


async def take_form(interaction: discord.Interaction, queue: JobQueue, job_id: str) -> None:
    """Queue what was sent off, for whoever sent it, and return its words where it is refused."""
    filled = written(interaction)
    try:
        job = await queue.get(job_id)
        require_made_here(interaction, job)
        await submit_or_ask(interaction, queue, _edited(job, filled), parent=job.id)
    except (BadInput, Refused) as error:
        words = _returned(filled)
        raise BadInput("{error}{words}", error=error.text, words=words) from error


def _edited(job: Job, filled: Mapping[str, str]) -> Request:
    """What a job leads to, with what a form says. Raises BadInput."""
    changes = _changes(filled)
    asked = next_request(job)
    seed = changes.pop("seed", asked.seed)
    kept = asked if seed == asked.seed else anew(asked, seed)
    return replace(kept, **changes)


def _changes(filled: Mapping[str, str]) -> dict[str, Any]:
    """The fields of the request that the form says. Raises BadInput for what is no number."""
    changes: dict[str, Any] = dict(filled)
    for field in NUMBERS:
        if field in filled:
            changes[field] = _number(field, filled[field].strip())
    return changes


def _number(field: str, text: str) -> int:
    if not text and field == "seed":
        return new_seed()
    try:
        return int(text)
    except ValueError:
        raise BadInput(
            "Please give {what} as a whole number, not “{text}”.", what=NAMES[field], text=text
        ) from None


def _returned(filled: Mapping[str, str]) -> str:
    """The words of a form that was refused, so that they need not be written again."""
    words = [text for field in ("prompt", "caption", "negative") if (text := filled.get(field))]
    return "".join(f"\n> {' '.join(text.split())}" for text in words)
