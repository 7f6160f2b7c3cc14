"""What members report and moderators decide: plain records. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """What a moderator did about a report."""

    KEPT = "kept"
    REMOVED = "removed"
    BANNED = "banned"
    """The result was removed, and whoever asked for it banned from the bot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One member's report of a job, whose result is in `message`. `reason` may be empty.

    `note` is the message in `note_channel` by which the moderators were told.
    """

    job: str
    reporter: int
    server: int
    channel: int
    message: int
    owner: int
    reason: str
    made_at: float
    decision: Decision | None = None
    decided_by: int | None = None
    decided_at: float | None = None
    note_channel: int | None = None
    note: int | None = None

    @property
    def link(self) -> str:
        """Where the result is."""
        return f"https://discord.com/channels/{self.server}/{self.channel}/{self.message}"

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided yet."""
        return self.decision is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A member who may not use the bot in a server. `reason` may be empty."""

    server: int
    member: int
    moderator: int
    reason: str
    made_at: float
