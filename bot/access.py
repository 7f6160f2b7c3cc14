"""Who may do what, and to which jobs. Pure."""

from collections.abc import Collection, Iterable

from bot.errors import NotAllowed, TooNew
from bot.jobs.settings import Settings
from bot.jobs.usage import DAY
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import Request, picture_count
from pipelines.contract.text import Text


def require_owner(owner: int, user: int, *, moderates: bool, refusal: Text) -> None:
    """Let the member who asked, and those who moderate the channel, pass.

    Raises NotAllowed with the sentence `refusal` for everyone else.
    """
    if user != owner and not moderates:
        raise NotAllowed(refusal)


def require_allowed(settings: Settings, request: Request, roles: Collection[int]) -> None:
    """Let those with `roles` ask for `request` where `settings` hold.

    Raises NotAllowed where it is not for them, BadInput where another choice would do.
    """
    if settings.roles and settings.roles.isdisjoint(roles):
        raise NotAllowed(
            "Here I work only for members with {roles}. The administrators of this server decide "
            "who has that role.",
            roles=" / ".join(f"<@&{role}>" for role in sorted(settings.roles)),
        )
    if request.kind in settings.commands_off:
        raise NotAllowed(
            "/{command} is switched off here. Try it in another channel, or ask an administrator "
            "of this server.",
            command=request.kind.value,
        )
    style, aspect = getattr(request, "style", None), getattr(request, "aspect", None)
    if style and settings.styles and style not in settings.styles:
        raise BadInput(
            "The style “{style}” is not offered here. Choose one of: {styles}.",
            style=style,
            styles=", ".join(sorted(settings.styles)),
        )
    if aspect and settings.aspects and aspect not in settings.aspects:
        raise BadInput(
            "The shape {aspect} is not offered here. Choose one of: {aspects}.",
            aspect=str(aspect),
            aspects=", ".join(sorted(settings.aspects)),
        )
    if (count := picture_count(request)) > settings.pictures:
        raise BadInput(
            "Here you can ask for at most {most} at a time, not {count}.",
            most=settings.pictures,
            count=count,
        )


def offered(names: Iterable[str], allowed: Collection[str]) -> list[str]:
    """Of `names`, those that are `allowed`; all, where nothing is said about that."""
    return [name for name in names if not allowed or name in allowed]


def require_administrator(*, administrates: bool) -> None:
    """Let administrators change the rules of their server. Raises NotAllowed for everyone else."""
    if not administrates:
        raise NotAllowed("Only administrators of this server can change its rules.")


def require_moderator(*, moderates: bool) -> None:
    """Let a server's moderators go on. Raises NotAllowed for everyone else."""
    if not moderates:
        raise NotAllowed(
            "Only the moderators of this server can do this: members who may time out others."
        )


def require_age(since: float, days: int, *, now: float) -> None:
    """Let a member go on who has been there `since` (Unix time) for `days`. Raises TooNew."""
    until = since + days * DAY
    if now < until:
        raise TooNew(
            "This bot is for those who have been here for some time. You can use it {when}.",
            when=f"<t:{round(until)}:R>",
        )
