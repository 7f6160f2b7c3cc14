"""Who may do what to a job."""

from bot.errors import NotAllowed


def require_owner(owner: int, user: int, *, moderates: bool, act: str) -> None:
    """Let the member who asked, and those who moderate the channel, `act` on a job.

    Raises NotAllowed with a sentence for everyone else.
    """
    if user != owner and not moderates:
        raise NotAllowed(f"Only the member who asked for this, or a moderator, can {act} it.")
