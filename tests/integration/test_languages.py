"""Each member reads everything in the language that their Discord is set to."""

import shutil
from pathlib import Path

import pytest

from bot import languages
from bot.app import App
from bot.jobs.events import JobTold
from tests.integration.apps import Heard
from tests.integration.shown import end_of, wait_of
from tests.loopback import LoopbackDiscord, Member, Message
from tests.loopback.rules import walk
from tests.loopback.runner import Studio


def labels(message: Message) -> list[str]:
    return [c["label"] for c in walk(message.components) if "label" in c]


async def test_a_german_and_an_english_member_wait_and_see_their_pictures(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    bob = server.member("bob")
    ada.locale = "de"
    studio.gate.clear()
    await ada.slash("imagine", prompt="ein Hafen")
    await server.wait_for(lambda: studio.runs)
    german, english = [await who.slash("imagine", prompt="x", seed=7) for who in (ada, bob)]
    message = await wait_of(server, german)
    assert "**Wartet** · " in message.text
    assert labels(message) == ["Abbrechen"]
    assert "**Waiting** · next in line" in (await wait_of(server, english)).text
    studio.gate.set()
    message = await end_of(server, german)
    assert f"Seed 7 · {_seconds(message, ',')} s · für <@{ada.user.id}>" in message.text
    assert labels(message) == [
        "Nochmal",
        "Variieren",
        "Vergrößern",
        "Ändern …",
        "Animieren",
        "Löschen",
    ]
    message = await end_of(server, english)
    assert f"seed 7 · {_seconds(message, '.')} s · for <@{bob.user.id}>" in message.text
    assert labels(message)[0] == "Again"


def _seconds(message: Message, sign: str) -> str:
    """The seconds that a result says it took; a whole number has no decimal sign."""
    [details] = [line for line in message.text.splitlines() if line.startswith("-# `/imagine`")]
    number = details.split(" · ")[-2].removesuffix(" s")
    assert number.replace(sign, "").isdigit(), number
    return number


async def test_a_refusal_is_in_the_language_of_who_is_refused(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    bob = server.member("bob")
    bob.locale = "fr"
    ada.locale = "de"
    used = await ada.slash("imagine", prompt=" \t ")
    await server.wait_for(lambda: used.said)
    assert used.said == "Bitte sag, was gemalt werden soll: Der Prompt ist leer."
    shown = await end_of(server, await ada.slash("imagine", prompt="ein Hafen"))
    await heard.of(JobTold)
    [delete] = [c["custom_id"] for c in walk(shown.components) if c.get("label") == "Löschen"]
    pressed = await bob.click(shown, delete)
    await server.wait_for(lambda: pressed.followups)
    assert "Seul le membre qui l’a demandé" in pressed.followups[0].content


async def test_discord_is_told_of_a_translation_that_has_changed(
    server: LoopbackDiscord, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = server.state.commands["imagine"]["description_localizations"]
    assert told["de"] == "Male ein Bild aus Worten"
    assert not await app.client.sync_commands()
    changed = shutil.copytree(languages.FOLDER, tmp_path / "locales")
    german = changed / "de.po"
    german.write_text(german.read_text("utf-8").replace("Male ein Bild aus", "Bilder aus"), "utf-8")
    monkeypatch.setattr(languages, "FOLDER", changed)
    languages._load.cache_clear()
    try:
        assert await app.client.sync_commands()
    finally:
        languages._load.cache_clear()
    assert (
        server.state.commands["imagine"]["description_localizations"]["de"] == "Bilder aus Worten"
    )
