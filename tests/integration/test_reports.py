"""Report: a member passes a result on, moderators decide, and everybody is told once."""

import asyncio

import pytest

from bot.app import App
from bot.config import Config
from bot.jobs.events import JobTold
from bot.jobs.job import Status
from bot.jobs.report import Decision
from tests.integration.apps import Heard, serving
from tests.integration.shown import button, end_of, jobs_of, wait_of
from tests.loopback import Interaction, LoopbackDiscord, Member, Message
from tests.loopback.model import MANAGE_MESSAGES, ORDINARY, TIME_OUT, Channel
from tests.loopback.problems import ApiProblem, missing_permissions
from tests.loopback.rules import walk
from tests.loopback.runner import Studio


@pytest.fixture
def bob(server: LoopbackDiscord) -> Member:
    """Has a right that channels give: it makes no moderator of a server."""
    return server.member("bob", permissions=ORDINARY | MANAGE_MESSAGES)


@pytest.fixture
def carol(server: LoopbackDiscord) -> Member:
    return server.member("carol", permissions=ORDINARY | TIME_OUT)


async def log_of(app: App, server: LoopbackDiscord) -> Channel:
    """A log channel, set in the server's settings."""
    channel = server.add_channel("log")
    await app.queue.settings.change(server.guild_id, log_channel=channel.id)
    return channel


def posted(server: LoopbackDiscord, channel: Channel) -> list[Message]:
    """What everybody there sees."""
    return [m for m in server.messages if m.channel is channel and not m.ephemeral]


def decision(message: Message, name: str) -> str:
    return next(each for each in message.custom_ids if f":{name}:" in each)


async def result_of(server: LoopbackDiscord, member: Member, heard: Heard) -> Message:
    message = await end_of(server, await member.slash("imagine", prompt="a lighthouse"))
    await heard.of(JobTold)
    return message


async def sent(
    server: LoopbackDiscord, member: Member, message: Message, reason: str = ""
) -> Interaction:
    """Report a message, and wait for the answer."""
    opened = await member.menu("Report", message)
    await server.wait_for(lambda: opened.modal)
    used = await member.submit(opened, {"reason": reason})
    await server.wait_for(lambda: used.said)
    assert used.original is not None and used.original.ephemeral
    return used


def is_veiled(message: Message) -> bool:
    items = [item for c in walk(message.components) for item in c.get("items", ())]
    return bool(items) and all(item["spoiler"] for item in items)


async def test_what_is_reported_is_removed_by_a_moderator(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    [job_id] = jobs_of(message)
    opened = await bob.menu("Report", message)
    await server.wait_for(lambda: opened.modal)
    both = await asyncio.gather(*(bob.submit(opened, {"reason": "no *gore*"}) for _ in range(2)))
    await server.wait_for(lambda: all(used.said for used in both))
    assert {"Thank you" in used.said for used in both} == {True, False}
    assert any("reported this already" in used.said for used in both)
    [note] = await server.wait_for(lambda: posted(server, log))
    assert rf"By <@{bob.user.id}>: no \*gore\*" in note.text and str(message.id) in note.text
    assert is_veiled(note) and note.allowed_mentions == {"parse": []}
    again = await sent(server, carol, message)
    assert "Thank you" in again.said
    await server.wait_for(lambda: f"By <@{carol.user.id}>: no reason given" in note.text)
    remove, keep = decision(note, "removed"), decision(note, "kept")
    refused = await bob.press(note, remove)
    await server.wait_for(lambda: refused.followups)
    assert "Only the moderators" in refused.said and not message.deleted
    await asyncio.gather(*(carol.press(note, remove) for _ in range(3)))
    await server.wait_for(lambda: message.deleted and "**Removed** by" in note.text)
    assert not note.files and not note.custom_ids
    before = len(note.versions)
    await carol.press(note, keep)
    await server.wait_for(lambda: len(note.versions) > before)
    assert "**Removed** by" in note.text
    assert not (await app.queue.get(job_id)).artifacts
    reports = await app.queue.moderation.reports_of(job_id)
    assert {(r.decision, r.decided_by) for r in reports} == {(Decision.REMOVED, carol.user.id)}
    assert len(posted(server, log)) == 1


async def test_who_is_banned_has_nothing_made_and_what_waits_is_cancelled(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, config: Config, studio: Studio
) -> None:
    async with serving(server, config, studio) as app:
        log = await log_of(app, server)
        message = await result_of(server, ada, Heard(app.events))
        await sent(server, bob, message, "again and again")
        [note] = await server.wait_for(lambda: posted(server, log))
        other = await end_of(server, await bob.slash("imagine", prompt="a harbour"))
    await server.wait_for(lambda: not server.gateway.connected)
    async with serving(server, config, studio) as app:
        studio.gate.clear()
        running = await wait_of(server, await bob.slash("imagine", prompt="a ship"))
        waiting = await wait_of(server, await ada.slash("imagine", prompt="a wreck"))
        opened = await ada.click(other, button(other, "edit"))
        await server.wait_for(lambda: opened.modal)
        await carol.click(note, decision(note, "banned"))
        await server.wait_for(lambda: "its member banned" in note.text and message.deleted)
        jobs = [await app.queue.get(*jobs_of(each)) for each in (waiting, running)]
        assert jobs[0].status is Status.CANCELLED and jobs[1].status.is_live
        studio.gate.set()
        await server.wait_for(lambda: running.files)
        runs = len(studio.runs)
        uses = [
            await ada.slash("imagine", prompt="a lighthouse"),
            await ada.click(other, button(other, "again")),
            await ada.menu("Animate this", other),
            await ada.menu("Report", other),
            await ada.click(other, button(other, "edit")),
            await ada.submit(opened, {"prompt": "a lighthouse"}),
        ]
        await server.wait_for(lambda: all("have banned you" in used.said for used in uses))
        assert all(message.ephemeral for used in uses for message in used.messages)
        assert len(studio.runs) == runs
        [ban] = app.queue.moderation.bans_of(ada.user.id)
        assert "again and again" not in ban.reason  # its member may read it
        assert await server.wait_for(
            lambda: [m for m in posted(server, log) if "something was reported" in m.content]
        )
        freed = await carol.slash("moderate", action="unban", member=ada)
        await server.wait_for(lambda: "can use this bot again" in freed.said)
        await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))


async def test_a_note_that_was_deleted_is_posted_anew_with_the_next_report(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    await sent(server, bob, message)
    [note] = await server.wait_for(lambda: posted(server, log))
    note.deleted = True
    await sent(server, carol, message)
    [another] = await server.wait_for(lambda: posted(server, log))
    assert f"By <@{bob.user.id}>" in another.text and f"By <@{carol.user.id}>" in another.text
    await carol.click(another, decision(another, "kept"))
    await server.wait_for(lambda: "**Kept** by" in another.text)


async def test_of_two_decisions_the_first_holds_and_alone_is_done(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    await sent(server, bob, message)
    [note] = await server.wait_for(lambda: posted(server, log))
    keep, ban = decision(note, "kept"), decision(note, "banned")
    before = len(note.versions)
    await asyncio.gather(carol.press(note, keep), carol.press(note, ban))
    await server.wait_for(lambda: len(note.versions) == before + 2)
    banned = "its member banned" in note.text
    assert message.deleted is banned
    assert bool(app.queue.moderation.bans(server.guild_id)) is banned
    assert bool((await app.queue.get(*jobs_of(message))).artifacts) is not banned


async def test_what_discord_does_not_let_the_bot_delete_is_left_to_the_moderator(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    await sent(server, bob, message)
    [note] = await server.wait_for(lambda: posted(server, log))
    archived = ApiProblem(400, 50083, "Thread is archived")
    server.faults.refuse("DELETE", "/channels/*/messages/*", archived)
    used = await carol.press(note, decision(note, "removed"))
    await server.wait_for(lambda: used.said)
    assert "please delete it yourself" in used.said and str(message.id) in used.said
    assert "**Removed** by" in note.text and not note.custom_ids
    assert not (await app.queue.get(*jobs_of(message))).artifacts
    assert not await app.queue.moderation.open_reports()


async def test_without_a_log_channel_reports_are_found_with_a_command(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    message = await result_of(server, ada, heard)
    assert "/config" not in (await sent(server, bob, message)).said
    assert "/config" in (await sent(server, carol, message)).said
    stranger = await bob.slash("moderate", action="reports")
    await server.wait_for(lambda: "Only the moderators" in stranger.said)
    carol.locale = "de"
    shown = await carol.slash("moderate", action="reports")
    await server.wait_for(lambda: "/config" in shown.said)
    view = shown.original
    assert view is not None and view.ephemeral and is_veiled(view)
    assert view.text.startswith("**Gemeldet**")
    await carol.click(view, decision(view, "kept"))
    await server.wait_for(lambda: "**Behalten** von" in view.text)
    assert not message.deleted and message.files
    none = await carol.slash("moderate", action="reports")
    await server.wait_for(lambda: "Keine Meldung ist offen." in none.said)


async def test_a_log_channel_that_is_closed_is_left_in_peace_until_it_is_set_anew(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    message = await result_of(server, ada, heard)
    closed = await log_of(app, server)
    closed.permissions = 0
    await sent(server, bob, message)
    path = f"/channels/{closed.id}/messages"
    await server.wait_for(lambda: len(server.called("POST", path)) == 2)  # with the picture first
    banned = await carol.slash("moderate", action="ban", member=bob, reason="spam")
    await server.wait_for(lambda: "can no longer use" in banned.said)
    await end_of(server, await ada.slash("imagine", prompt="nobody waits for it"))
    assert len(server.called("POST", path)) == 2
    open_one = await log_of(app, server)
    await sent(server, carol, message)
    [note] = await server.wait_for(lambda: posted(server, open_one))
    assert f"By <@{bob.user.id}>" in note.text and is_veiled(note)


async def test_who_reports_while_a_report_is_being_posted_is_added_to_it(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    gate = server.faults.hold("POST", f"/channels/{log.id}/messages", uploads=True)
    await sent(server, bob, message)
    await gate.arrived.wait()
    await sent(server, carol, message)
    gate.open()
    [note] = await server.wait_for(lambda: posted(server, log))
    await server.wait_for(lambda: f"By <@{carol.user.id}>" in note.text)
    assert f"By <@{bob.user.id}>" in note.text
    assert len(posted(server, log)) == 1


async def test_who_has_their_reports_forgotten_has_them_taken_out_of_the_note(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, Heard(app.events))
    for member, reason in ((bob, "bob was hurt"), (carol, "carol, too")):
        await sent(server, member, message, reason)
    [note] = await server.wait_for(
        lambda: [m for m in posted(server, log) if "carol, too" in m.text]
    )
    await bob.slash("privacy", action="delete")
    await server.wait_for(lambda: "bob was hurt" not in note.text)
    assert "carol, too" in note.text and note.files and decision(note, "removed")
    await carol.slash("privacy", action="delete")
    await server.wait_for(lambda: note.text == "This report is no longer kept.")
    assert not note.files and not note.custom_ids


async def test_what_a_reporter_wrote_leaves_the_note_of_a_decision_too(
    server: LoopbackDiscord, ada: Member, bob: Member, carol: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    await sent(server, bob, message, "bob was hurt")
    [note] = await server.wait_for(lambda: posted(server, log))
    await carol.press(note, decision(note, "kept"))
    await server.wait_for(lambda: "**Kept** by" in note.text)
    assert "bob was hurt" in note.text
    await bob.slash("privacy", action="delete")
    await server.wait_for(lambda: note.text == "This report is no longer kept.")


async def test_where_files_are_not_taken_the_report_is_posted_without(
    server: LoopbackDiscord, ada: Member, bob: Member, app: App, heard: Heard
) -> None:
    log = await log_of(app, server)
    message = await result_of(server, ada, heard)
    server.faults.refuse(
        "POST", f"/channels/{log.id}/messages", missing_permissions(), times=9, uploads=True
    )
    await sent(server, bob, message)
    [note] = await server.wait_for(lambda: posted(server, log))
    assert not note.files and decision(note, "kept")


async def test_what_is_not_ours_or_no_longer_known_is_not_reported(
    server: LoopbackDiscord, ada: Member, bob: Member, app: App, heard: Heard
) -> None:
    message = await result_of(server, ada, heard)
    theirs = await bob.menu("Report", ada.post())
    await server.wait_for(lambda: "nothing of mine" in theirs.said)
    opened = await bob.menu("Report", message)
    await server.wait_for(lambda: opened.modal)
    await app.store.forget_before(1e12)
    used = await bob.submit(opened, {"reason": "too late"})
    await server.wait_for(lambda: "no longer known" in used.said)
    assert not await app.queue.moderation.open_reports()
