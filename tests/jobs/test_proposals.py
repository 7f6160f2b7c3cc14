import asyncio
from pathlib import Path

import pytest

from bot.errors import StorageFailed, TooLate
from bot.jobs.proposals import PROPOSAL_LIFE, Proposal, Proposals
from bot.jobs.store import Store
from pipelines.contract.requests import ImagineRequest, SketchRequest
from tests.jobs.samples import START, Clock


@pytest.fixture
def proposals(store: Store) -> Proposals:
    return Proposals(store.database, store.folder)


async def test_it_is_taken_once_by_its_owner_with_its_files_where_they_are_now(
    store: Store, proposals: Proposals, files_folder: Path
) -> None:
    request = SketchRequest(drawing=files_folder / "house.png", prompt="a house", seed=1)
    wanted = Proposal(id="1", owner=1, requests=(request, request), made_at=START, parent="0")
    await proposals.keep(wanted)
    assert await store.named_files() == {request.drawing}
    assert await proposals.of(1) == [wanted] and not await proposals.of(2)
    with pytest.raises(TooLate):
        await proposals.take("1", owner=2)
    taken = (proposals.take("1", owner=1) for _ in range(3))
    answers = await asyncio.gather(*taken, return_exceptions=True)
    assert answers[0] == wanted and {type(answer) for answer in answers[1:]} == {TooLate}


async def test_it_does_not_stay(store: Store, proposals: Proposals, clock: Clock) -> None:
    request = ImagineRequest(prompt="a fox", seed=1)
    for name in ("old", "mine"):
        clock.now += PROPOSAL_LIFE / 2
        await proposals.keep(Proposal(id=name, owner=1, requests=(request,), made_at=clock.now))
    clock.now += PROPOSAL_LIFE / 2 + 1
    assert [proposal.id for proposal in await proposals.of(1)] == ["mine"]
    with pytest.raises(TooLate):
        await proposals.take("old", owner=1)
    await store.forget_expired()
    rows = await store.database.run("SELECT id FROM proposals")
    assert [name for (name,) in rows] == ["mine"]
    await store.forget_owner(1)
    with pytest.raises(TooLate):
        await proposals.take("mine", owner=1)


async def test_what_a_member_has_forgotten_goes_at_once_or_stays_whole(
    store: Store, proposals: Proposals, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ImagineRequest(prompt="a fox", seed=1)
    await proposals.keep(Proposal(id="1", owner=1, requests=(request,), made_at=START))
    with monkeypatch.context() as broken:
        broken.setattr("bot.jobs.store._FORGET_OWNER", "DELETE FROM nothing_of_ours")
        with pytest.raises(StorageFailed):
            await store.forget_owner(1)
    assert len(await proposals.of(1)) == 1
    await store.forget_owner(1)
    assert await proposals.of(1) == []
