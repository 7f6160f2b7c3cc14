"""/privacy: shown, copied and deleted is what is the member's own."""

import json

from bot.app import App
from bot.jobs.events import JobTold
from tests.integration.apps import Heard
from tests.integration.shown import answered, button, end_of, jobs_of
from tests.loopback import LoopbackDiscord, Member
from tests.loopback.runner import Studio


async def test_a_member_sees_and_gets_their_own(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    bob = server.member("bob")
    await end_of(server, await bob.slash("imagine", prompt="a secret"))
    message = await end_of(server, await ada.slash("imagine", prompt="ein Füchschen", seed=7))
    assert "**1** of them" in (await answered(server, ada)).said
    copy = await answered(server, ada, action="export")
    assert copy.said.startswith("This is all that I keep in words. Your pictures")
    assert copy.original is not None
    [file] = copy.original.files
    kept = json.loads(file.data)
    [told] = kept["requests"]
    assert not kept["reports"] and not kept["bans"]
    assert [told["id"]] == list(jobs_of(message))
    assert told["request"]["prompt"] == "ein Füchschen"
    assert told["results"][0]["name"] == message.files[0].filename
    assert b"a secret" not in file.data


async def test_a_copy_that_does_not_fit_says_what_is_left_out(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard
) -> None:
    for number in range(6):
        await end_of(server, await ada.slash("imagine", prompt=f"a lighthouse {number}"))
    server.attachment_size_limit = 3000
    copy = await answered(server, ada, action="export")
    assert copy.original is not None
    prompts = [r["request"]["prompt"] for r in json.loads(copy.original.files[0].data)["requests"]]
    left_out = 6 - len(prompts)
    assert left_out > 0 and prompts == [f"a lighthouse {n}" for n in range(left_out, 6)]
    assert f"{left_out} entries, the oldest, are left out." in copy.said


async def test_a_question_that_waits_for_its_answer_is_told_copied_and_deleted(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    asked = await ada.slash("imagine", prompt="a {red, blue} star")
    await server.wait_for(lambda: asked.said)
    assert "1 prompt with braces waits for your Go" in (await answered(server, ada)).said
    copy = await answered(server, ada, action="export")
    assert copy.original is not None
    [question] = json.loads(copy.original.files[0].data)["questions"]
    assert [each["prompt"] for each in question["requests"]] == ["a red star", "a blue star"]
    await answered(server, ada, action="delete")
    assert "braces" not in (await answered(server, ada)).said


async def test_deleted_is_the_members_own_and_what_has_ended(
    server: LoopbackDiscord, ada: Member, app: App, heard: Heard, studio: Studio
) -> None:
    bob = server.member("bob")
    theirs = await end_of(server, await bob.slash("imagine", prompt="a harbour"))
    message = await end_of(server, await ada.slash("imagine", prompt="a lighthouse"))
    await heard.of(JobTold)
    studio.gate.clear()
    await ada.slash("imagine", prompt="still to come")
    await server.wait_for(lambda: studio.runs and studio.runs[-1].prompt == "still to come")
    said = (await answered(server, ada, action="delete")).said
    assert "Deleted: 1 of your requests" in said
    assert "1 waits, runs or is on its way to you" in said
    assert await app.store.get(*jobs_of(message)) is None
    assert await app.store.get(*jobs_of(theirs)) is not None
    studio.gate.set()
    again = await ada.click(message, button(message, "again"))
    await server.wait_for(lambda: again.followups)
    assert "no longer known" in again.said


async def test_there_may_be_nothing(server: LoopbackDiscord, ada: Member, app: App) -> None:
    assert "**0** of them now." in (await answered(server, ada)).said
    assert "Deleted: 0" in (await answered(server, ada, action="delete")).said


async def test_reports_and_bans_are_told_and_only_reports_deleted(
    server: LoopbackDiscord, ada: Member, app: App
) -> None:
    moderation, me = app.queue.moderation, ada.user.id
    places = {"server": server.guild_id, "channel": server.channel.id, "message": 1}
    await moderation.report("0123456789abcdef", reporter=me, owner=2, reason="cruel", **places)
    await moderation.ban(server.guild_id, me, moderator=3, reason="spam")
    said = (await answered(server, ada)).said
    assert "I keep 1 report, with your reason" in said and "have banned you" in said
    copy = await answered(server, ada, action="export")
    assert copy.original is not None
    kept = json.loads(copy.original.files[0].data)
    assert [report["reason"] for report in kept["reports"]] == ["cruel"]
    assert [ban["reason"] for ban in kept["bans"]] == ["spam"]
    said = (await answered(server, ada, action="delete")).said
    assert "1 report of yours" in said and "That you are banned is kept" in said
    assert not await moderation.reports_by(me) and moderation.bans_of(me)
