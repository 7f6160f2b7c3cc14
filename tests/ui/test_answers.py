"""What went wrong is said, whatever Discord makes of the way there."""

from typing import Any
from unittest.mock import AsyncMock, Mock

import aiohttp
import discord
import pytest
from discord import app_commands

from bot.ui.answers import TROUBLE, answer_error
from pipelines.contract.errors import BadInput

DEFERRED = discord.InteractionResponseType.deferred_channel_message


def refusal(status: int, code: int) -> discord.HTTPException:
    return discord.HTTPException(Mock(status=status, reason=""), {"code": code, "message": ""})


def an_interaction(**response: Any) -> Any:
    interaction = Mock(locale="en-GB", edit_original_response=AsyncMock())
    interaction.delete_original_response = AsyncMock()
    interaction.followup.send = AsyncMock()
    interaction.response.is_done.return_value = "type" in response
    interaction.response.send_message = AsyncMock(**response)
    interaction.response.type = response.get("type")
    return interaction


async def test_a_thinking_that_cannot_be_taken_back_hides_no_reason() -> None:
    interaction = an_interaction(type=DEFERRED)
    interaction.edit_original_response.side_effect = refusal(404, 10008)
    await answer_error(interaction, BadInput("Please be brief."))
    interaction.followup.send.assert_awaited_once_with(content="Please be brief.", ephemeral=True)


async def test_what_was_acknowledged_unheard_is_answered_by_the_other_way() -> None:
    interaction = an_interaction(side_effect=refusal(400, 40060))
    await answer_error(interaction, BadInput("Please be brief."))
    interaction.followup.send.assert_awaited_once_with(content="Please be brief.", ephemeral=True)


CHANNEL = app_commands.transformers.get_supported_annotation(discord.TextChannel)
UNTOLD = app_commands.TransformerError(5, discord.AppCommandOptionType.channel, CHANNEL[0])


@pytest.mark.parametrize(
    "error", [refusal(500, 0), aiohttp.ClientConnectionError(), ConnectionResetError(), UNTOLD]
)
async def test_trouble_on_the_line_is_no_bug(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    interaction = an_interaction()
    await answer_error(interaction, error)
    interaction.response.send_message.assert_awaited_once_with(content=str(TROUBLE), ephemeral=True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
