"""Who may do what to a job."""

from bot.errors import NotAllowed, TooNew
from pipelines.contract.text import Text

DAY = 86_400


def require_owner(owner: int, user: int, *, moderates: bool, refusal: Text) -> None:
    """Let the member who asked, and those who moderate the channel, pass.

    Raises NotAllowed with the sentence `refusal` for everyone else.
    """
    if user != owner and not moderates:
        raise NotAllowed(refusal)


def require_moderator(*, moderates: bool) -> None:
    """Let moderators go on. Raises NotAllowed with a sentence for everyone else."""
    if not moderates:
        raise NotAllowed(
            "Only moderators can do this: members who may manage messages or time out others here."
        )


def require_age(since: float, days: int, *, now: float) -> None:
    """Let a member go on who has been there `since` (Unix time) for `days`. Raises TooNew."""
    until = since + days * DAY
    if now < until:
        raise TooNew(
            "This bot is for those who have been here for some time. You can use it {when}.",
            when=f"<t:{round(until)}:R>",
        )
