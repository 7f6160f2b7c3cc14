"""The register of reports and bans, on a real store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.errors import Banned
from bot.jobs.events import Event, Events, MemberBanned, MemberUnbanned, Reported
from bot.jobs.moderation import Moderation
from bot.jobs.report import Decision
from bot.jobs.store import Store
from tests.jobs.samples import Clock, open_store

JOB, SERVER, ADA, BOB, CAROL = "0123456789abcdef", 11, 1, 2, 3


@dataclass(eq=False)
class Register:
    store: Store
    clock: Clock
    events: Events = field(default_factory=Events)
    seen: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events.subscribe(self.seen.append)
        self.all = Moderation(self.store.database, self.events, now=self.clock)

    async def report(self, reporter: int, job: str = JOB) -> bool:
        return await self.all.report(
            job,
            reporter=reporter,
            server=SERVER,
            channel=12,
            message=13,
            owner=ADA,
            reason=f"says {reporter}",
        )


@pytest.fixture
async def register(tmp_path: Path) -> AsyncIterator[Register]:
    async with open_store(tmp_path / "jobs.sqlite3") as store:
        yield Register(store, Clock())


async def test_a_member_reports_a_job_once(register: Register) -> None:
    assert [await register.report(who) for who in (BOB, BOB, CAROL)] == [True, False, True]
    reports = await register.all.reports_of(JOB)
    assert {(r.reporter, r.reason) for r in reports} == {(BOB, "says 2"), (CAROL, "says 3")}
    assert [type(event) for event in register.seen] == [Reported, Reported]
    assert reports[0].link == "https://discord.com/channels/11/12/13"


async def test_what_was_decided_stays_until_somebody_reports_anew(register: Register) -> None:
    await register.report(BOB)
    await register.all.noted(JOB, [BOB], 20, 21)
    assert await register.all.decide(JOB, Decision.KEPT, CAROL)
    assert not await register.all.decide(JOB, Decision.REMOVED, ADA)
    [report] = await register.all.reports_of(JOB)
    assert (report.decision, report.decided_by, report.note) == (Decision.KEPT, CAROL, 21)
    assert not await register.all.open_reports()
    await register.report(CAROL)
    [again] = await register.all.open_reports(SERVER)
    assert (again.reporter, again.note) == (CAROL, None)
    assert not await register.all.open_reports(SERVER + 1)
    assert await register.all.decide(JOB, Decision.REMOVED, ADA)
    assert [r.decision for r in await register.all.reports_by(BOB)] == [Decision.KEPT]


async def test_reports_are_forgotten_with_their_reporter_and_with_time(register: Register) -> None:
    await register.report(BOB)
    await register.report(CAROL)
    assert await register.all.forget_reporter(BOB) == 1
    assert await register.all.forget_before(register.clock.now, SERVER) == 0
    assert await register.all.forget_before(register.clock.now + 1, SERVER + 1) == 0
    assert await register.all.servers() == [SERVER]
    assert await register.all.forget_before(register.clock.now + 1, SERVER) == 1
    assert not await register.all.reports_of(JOB)


async def test_a_ban_holds_at_once_in_its_server_and_after_a_restart(register: Register) -> None:
    bans = register.all
    assert await bans.ban(SERVER, ADA, moderator=CAROL, reason="rude")
    assert not await bans.ban(SERVER, ADA, moderator=BOB, reason="again")
    later = Moderation(register.store.database, register.events)
    await later.read()
    for each in (bans, later):
        with pytest.raises(Banned):
            each.check(SERVER, ADA)
        each.check(SERVER, BOB)
        each.check(SERVER + 1, ADA)
        each.check(None, ADA)
        assert [(ban.moderator, ban.reason) for ban in each.bans(SERVER)] == [(CAROL, "rude")]
        assert each.bans_of(ADA) == each.bans(SERVER)


async def test_a_ban_is_taken_back(register: Register) -> None:
    assert not await register.all.unban(SERVER, ADA, moderator=CAROL)
    await register.all.ban(SERVER, ADA, moderator=CAROL, reason="")
    assert await register.all.unban(SERVER, ADA, moderator=BOB)
    register.all.check(SERVER, ADA)
    assert not register.all.bans(SERVER)
    assert [type(event) for event in register.seen] == [MemberBanned, MemberUnbanned]
