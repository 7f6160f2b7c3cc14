"""The same upscale is not under way twice; whatever chance is in may be."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import QueueFull, Repeated
from bot.jobs.limits import Limits
from bot.jobs.queue import Run
from pipelines.contract.requests import ImagineRequest, UpscaleRequest
from tests.jobs.studio import Studio

MakeStudio = Callable[..., Studio]
TWICE = UpscaleRequest(image=Path("/files/a.png"), scale=2)


async def ask(s: Studio, request: UpscaleRequest | ImagineRequest = TWICE, owner: int = 1) -> str:
    return (await s.queue.submit(request, owner=owner, origin={})).id


async def test_two_clicks_are_one_upscale(studio: MakeStudio) -> None:
    s = studio()
    answers = await asyncio.gather(ask(s), ask(s), return_exceptions=True)
    assert [type(answer) for answer in answers] == [str, Repeated]
    assert "asked for this already" in str(answers[1])
    run = await s.queue.lease([frozenset()])
    assert isinstance(run, Run)
    with pytest.raises(Repeated):  # it runs
        await ask(s)


async def test_others_other_scales_and_what_has_chance_in_it_are_no_twins(
    studio: MakeStudio,
) -> None:
    s = studio()
    await ask(s)
    await ask(s, owner=2)
    await ask(s, UpscaleRequest(image=TWICE.image, scale=4))
    for _ in range(2):
        await ask(s, ImagineRequest(prompt="a fox", seed=7))
    assert s.queue.length() == 5


async def test_once_it_has_ended_it_may_be_asked_for_again(studio: MakeStudio) -> None:
    s = studio()
    await s.queue.cancel(await ask(s))
    await ask(s)


async def test_one_that_was_not_taken_stands_in_nobodys_way(studio: MakeStudio) -> None:
    s = studio(limits=Limits(waiting_per_member=1, waiting_in_all=9))
    other = await ask(s, ImagineRequest(prompt="a fox", seed=7))
    with pytest.raises(QueueFull):
        await ask(s)
    await s.queue.cancel(other)
    await ask(s)


async def test_what_waited_before_a_restart_still_waits(studio: MakeStudio) -> None:
    await ask(studio())
    later = studio()
    await later.queue.restore()
    with pytest.raises(Repeated):
        await ask(later)
