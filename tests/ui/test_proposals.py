"""What a member is asked about a prompt that stands for several."""

import re
from dataclasses import replace
from unittest.mock import Mock

import pytest
from discord import ui
from simcord.actors import MemberActor

from bot.jobs.proposals import Proposal
from bot.ui import proposals
from bot.ui.proposals import SHOWN, question
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import MAX_PROMPT, ImagineRequest, SketchRequest
from tests.ui.channel import Channel, Shown, drawing
from tests.ui.fixtures import Ends, Moods


async def test_a_drawing_becomes_what_each_of_the_prompts_says(
    channel: Channel, ada: MemberActor, studio: Moods, ends: Ends
) -> None:
    result = await ada.slash(
        channel.handle,
        "sketch",
        drawing=("house.png", drawing()),
        prompt="a {red, blue} house",
        seed=7,
    )
    assert result.response is not None and result.response.ephemeral
    question = Shown(channel.env, result.response.message)
    assert channel.shown() == [] and studio.runs == []
    _, *prompts, notes = question.text.splitlines()
    assert prompts == ["1. a red house", "2. a blue house"]
    assert re.search(r"all with seed 7 · this question ends <t:\d+:R>", notes)
    assert question.buttons == ["Go", "Cancel"]
    await ada.click(question.message, label="Go")
    requests = [(await ends.next()).request for _ in range(2)]  # whichever is told first
    assert {request.seed for request in requests} == {7}
    blue, red = sorted(requests, key=lambda request: request.prompt)
    assert isinstance(red, SketchRequest) and blue == replace(red, prompt="a blue house")
    assert [(m.text.splitlines()[0], len(await m.files())) for m in channel.shown()] == [
        ("a red house", 1),
        ("a blue house", 1),
    ]
    assert question.buttons == []


def test_the_question_fits_whatever_is_asked() -> None:
    worst = ImagineRequest(prompt="*" * MAX_PROMPT, seed=7)
    proposal = Proposal(id="0" * 16, owner=1, requests=(worst,) * 50, made_at=0.0)
    texts = [
        i for i in question(proposal, 9e4, "de").walk_children() if isinstance(i, ui.TextDisplay)
    ]
    [text] = texts
    assert len(text.content) <= 2000
    assert f"… und {50 - SHOWN} weitere\n" in text.content and "1500 min" in text.content


@pytest.mark.parametrize(("by_server", "most"), [(True, 9), (False, 5)])
def test_where_only_a_member_has_installed_it_there_are_no_more_than_discord_lets_it_post(
    monkeypatch: pytest.MonkeyPatch, by_server: bool, most: int
) -> None:
    monkeypatch.setattr(proposals, "standing_of", lambda _: None)
    used = Mock(is_user_integration=lambda: True, is_guild_integration=lambda: by_server)
    queue = Mock(most_prompts=lambda _: 9)

    def prompts(count: int) -> list[str]:
        request = ImagineRequest(prompt=f"{{{', '.join('abcdefghij'[:count])}}}", seed=7)
        return [each.prompt for each in proposals.expanded(used, queue, request)]

    assert prompts(most) == list("abcdefghi"[:most])
    with pytest.raises(BadInput, match=f"more than {most} prompts"):
        prompts(most + 1)
