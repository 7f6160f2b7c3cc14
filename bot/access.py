"""Who may do what to a job."""

from bot.errors import NotAllowed
from pipelines.contract.text import Text


def require_owner(owner: int, user: int, *, moderates: bool, refusal: Text) -> None:
    """Let the member who asked, and those who moderate the channel, pass.

    Raises NotAllowed with the sentence `refusal` for everyone else.
    """
    if user != owner and not moderates:
        raise NotAllowed(refusal)
