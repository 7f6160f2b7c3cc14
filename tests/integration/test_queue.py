"""/queue tells what runs and waits, and nobody's words."""

from bot.app import App
from bot.jobs.events import JobTold
from tests.integration.apps import Heard
from tests.integration.shown import end_of, wait_of
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.runner import Studio


async def test_what_runs_and_waits_is_told_in_its_order(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    bob = server.member("bob")
    await end_of(server, await ada.slash("imagine", prompt="a secret lighthouse"))
    await heard.of(JobTold)  # now it is known how long such a thing takes
    studio.gate.clear()
    runs = await ada.slash("imagine", prompt="a secret harbour")
    await server.wait_for(lambda: studio.runs and studio.runs[-1].prompt == "a secret harbour")
    for who in (ada, bob):
        await wait_of(server, await who.slash("imagine", prompt="a secret ship"))
    used = await ada.slash("queue")
    await server.wait_for(lambda: used.said)
    running, first, waiting, next_, last, why = used.said.splitlines()
    assert (running, waiting) == ("**Running**", "**Waiting**")
    assert first.startswith(f"`/imagine` for <@{ada.user.id}> · done <t:")
    assert next_.startswith(f"1. `/imagine` for <@{bob.user.id}> · begins <t:")
    assert last.startswith(f"2. `/imagine` for <@{ada.user.id}> · begins <t:")
    assert "take turns" in why and "You used" in why
    assert "secret" not in used.said
    assert used.original is not None and used.original.ephemeral
    studio.gate.set()
    await wait_of(server, runs)


async def test_an_empty_queue(server: LoopbackDiscord, ada: Member, app: App) -> None:
    used = await ada.slash("queue")
    await server.wait_for(lambda: used.said)
    assert used.said.startswith("**Nothing runs.**\n**Nothing waits.**\n")
