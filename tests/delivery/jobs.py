"""A job of /imagine: begun, held on the GPU, and let go."""

from typing import Any

from simcord.actors import MemberActor

from bot.app import App
from bot.jobs.events import JobStarted
from bot.jobs.job import Job
from pipelines.contract.requests import ImagineRequest
from tests.integration.apps import Heard
from tests.loopback.runner import paint
from tests.ui.channel import Channel, Shown
from tests.ui.fixtures import Ends, Moods

FINAL = ["Again", "Vary", "Upscale", "Edit…", "Animate", "Delete"]
"""The buttons of its result."""
PICTURE = paint(ImagineRequest(prompt="a lighthouse", seed=7))[0].data


async def begin(
    app: App, channel: Channel, member: MemberActor, studio: Moods, **options: Any
) -> Shown:
    """The message of a job that is held on the GPU until `studio.gate` is set."""
    studio.gate.clear()
    heard = Heard(app.events)
    await member.slash(
        channel.handle, "imagine", **{"prompt": "a lighthouse", "seed": 7, **options}
    )
    await heard.of(JobStarted)
    return channel.shown()[-1]


async def finish(studio: Moods, ends: Ends) -> Job:
    """Let go of the GPU, and wait until the owner has been told."""
    studio.gate.set()
    return await ends.next()
