"""Proposals: requests that become jobs once their member says Go."""

import json
from dataclasses import dataclass
from pathlib import Path

from bot.errors import TooLate
from bot.jobs import codec
from bot.jobs.database import Database
from pipelines.contract.requests import Request

PROPOSAL_LIFE = 1800.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Requests of one kind that become a job each when their member says so.

    `parent` is the job that they came of.
    """

    id: str
    owner: int
    requests: tuple[Request, ...]
    made_at: float
    parent: str | None = None

    @property
    def ends_at(self) -> float:
        """When it can no longer be taken up, as Unix time."""
        return self.made_at + PROPOSAL_LIFE


class Proposals:
    """What members were asked about and have yet to answer. `folder` is the FileStore's."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    async def keep(self, proposal: Proposal) -> None:
        """Keep a proposal until it is taken, or has expired."""
        requests = [codec.encode_request(each, self._folder) for each in proposal.requests]
        await self._database.run(
            "INSERT INTO proposals VALUES (:id, :owner, :kind, :requests, :made_at, :parent)",
            id=proposal.id,
            owner=proposal.owner,
            kind=proposal.requests[0].kind.value,
            requests=json.dumps(requests),
            made_at=proposal.made_at,
            parent=proposal.parent,
        )

    async def take(self, proposal_id: str, owner: int) -> Proposal:
        """Take a member's proposal out, so that it is answered once. Raises TooLate."""
        rows = await self._database.run(
            "DELETE FROM proposals WHERE id = :id AND owner = :owner"
            " AND made_at >= :now - :life RETURNING *",
            id=proposal_id,
            owner=owner,
            life=PROPOSAL_LIFE,
        )
        if not rows:
            raise TooLate(
                "This has been answered already, or it was too long ago. Nothing more was queued."
            )
        return self._decode(dict(rows[0]))

    async def of(self, owner: int) -> list[Proposal]:
        """What a member has yet to answer, oldest first."""
        rows = await self._database.run(
            "SELECT * FROM proposals WHERE owner = :owner AND made_at >= :now - :life"
            " ORDER BY made_at",
            owner=owner,
            life=PROPOSAL_LIFE,
        )
        return [self._decode(dict(row)) for row in rows]

    def _decode(self, row: codec.Row) -> Proposal:
        texts = json.loads(row["requests"])
        return Proposal(
            id=row["id"],
            owner=row["owner"],
            requests=tuple(codec.decode_request(row["kind"], t, self._folder) for t in texts),
            made_at=row["made_at"],
            parent=row["parent"],
        )
