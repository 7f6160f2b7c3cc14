"""What a server does not allow: refused in private, and nothing runs."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.app import App
from bot.config import Config, ModerationConfig
from bot.errors import ConfigError
from demo.sample import draw_sample
from tests.integration.apps import serving
from tests.integration.shown import button, end_of, jobs_of
from tests.loopback import LoopbackDiscord, Member, Upload
from tests.loopback.model import as_member
from tests.loopback.runner import Studio


def with_words(config: Config, *words: str, file: Path | None = None) -> Config:
    moderation = ModerationConfig(words=words, words_file=file)
    return config.model_copy(update={"moderation": moderation})


async def test_a_word_spelt_to_be_missed_is_refused_in_private(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    async with serving(server, with_words(config, "gore"), studio) as app:
        used = await ada.slash("imagine", prompt="a field of g0rе")
        await server.wait_for(lambda: used.followups)
        assert "“gore” is not allowed in prompts here" in used.said
        assert used.original is not None and used.original.deleted
        assert not await app.store.recent(10)
        assert not studio.runs


async def test_what_was_painted_before_the_rule_is_not_painted_again(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio, tmp_path: Path
) -> None:
    async with serving(server, config, studio):
        message = await end_of(server, await ada.slash("imagine", prompt="a field of gore"))
    await server.wait_for(lambda: not server.gateway.connected)
    words = tmp_path / "words.txt"
    words.write_text("# unwanted\ngor*   # and gory\n")
    async with serving(server, with_words(config, file=words), studio):
        again = await ada.click(message, button(message, "again"))
        await server.wait_for(lambda: again.followups)
        assert "“gor” is not allowed" in again.said
        opened = await ada.click(message, button(message, "edit"))
        await server.wait_for(lambda: opened.modal)
        await end_of(server, await ada.submit(opened, {"prompt": "a field of corn"}))


async def test_a_drawing_in_which_a_forbidden_word_is_seen_is_not_painted(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio
) -> None:
    file = io.BytesIO()
    draw_sample().save(file, "PNG")
    drawing = Upload("drawing.png", file.getvalue())
    async with serving(server, with_words(config, "n0ise"), studio) as app:
        log = server.add_channel("log")
        await app.queue.settings.change(server.guild_id, log_channel=log.id)
        message = await end_of(server, await ada.slash("sketch", drawing=drawing))
        assert "In this picture I see “n0ise”, which is not allowed here" in message.text
        assert not message.files
        assert not any("again" in each for each in message.custom_ids)
        line = (
            "**Word seen in a picture** “n0ise”, nothing was made of it: "
            f"`/sketch` of <@{ada.user.id}> in <#{server.channel.id}>"
        )
        [told] = await server.wait_for(lambda: [m for m in server.messages if m.channel is log])
        assert told.content == line
        opened = await ada.click(message, button(message, "edit"))
        await server.wait_for(lambda: opened.modal)
        refused = await ada.submit(opened, {"caption": "a lot of noise"})
        await server.wait_for(lambda: "not allowed in prompts" in refused.said)
        mended = await end_of(server, await ada.submit(opened, {"caption": "a heart"}))
        assert mended.files


async def test_a_list_that_is_not_there_stops_the_start(
    server: LoopbackDiscord, config: Config, studio: Studio, tmp_path: Path
) -> None:
    missing = with_words(config, file=tmp_path / "words.txt")
    with pytest.raises(ConfigError, match=r"moderation\.words_file"):
        async with serving(server, missing, studio):
            pass


async def test_who_has_not_been_here_for_long_enough_is_told_from_when(
    server: LoopbackDiscord, ada: Member, app: App, studio: Studio
) -> None:
    joined = datetime.fromisoformat(as_member(ada.user, 0)["joined_at"])
    days = (datetime.now(UTC) - joined).days
    await app.queue.settings.change(server.guild_id, minimum_age_days=days + 2)
    used = await ada.slash("imagine", prompt="a lighthouse")
    await server.wait_for(lambda: used.said)
    until = joined + timedelta(days=days + 2)
    assert f"<t:{until.timestamp():.0f}:R>" in used.said
    assert used.original is not None and used.original.ephemeral
    await app.queue.settings.change(server.guild_id, minimum_age_days=days)
    await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    assert len(studio.runs) == 1


@pytest.mark.parametrize("age_restricted", [True, False])
async def test_it_is_known_whether_a_channel_is_for_adults(
    server: LoopbackDiscord, ada: Member, config: Config, studio: Studio, age_restricted: bool
) -> None:
    server.channel.age_restricted = age_restricted
    async with serving(server, config, studio) as app:
        message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
        [job_id] = jobs_of(message)
        assert (await app.queue.get(job_id)).origin["age_restricted"] is age_restricted
