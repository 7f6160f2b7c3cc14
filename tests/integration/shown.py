"""What a member sees: how a message tells what became of its job, and what is said in private."""

import re
from typing import Any

from tests.loopback import Interaction, LoopbackDiscord, Member, Message

BUTTON = re.compile(r"atelier:([a-z]+):([0-9a-f]{16})")


def jobs_of(message: Message) -> set[str]:
    """Ids of the jobs that the message's buttons ever belonged to."""
    pressed = [BUTTON.fullmatch(c) for v in message.versions for c in v.custom_ids]
    return {match[2] for match in pressed if match}


def waits(message: Message) -> bool:
    """Whether it shows a job that is queued or running."""
    return _offers(message.custom_ids, "cancel")


def has_waited(message: Message) -> bool:
    """Whether it ever did: its member was told that the job is queued."""
    return any(_offers(version.custom_ids, "cancel") for version in message.versions)


def is_final(message: Message) -> bool:
    """Whether it shows an end: a result, a reason, a cancellation."""
    return _offers(message.custom_ids, "delete")


def stayed_final(message: Message) -> bool:
    """Whether an end, once shown, was never taken back."""
    ends = [_offers(version.custom_ids, "delete") for version in message.versions]
    return ends == sorted(ends)


def button(message: Message, action: str) -> str:
    """The custom_id of a button that the message shows."""
    return next(c for c in message.custom_ids if _offers((c,), action))


async def end_of(server: LoopbackDiscord, used: Interaction, timeout: float = 20.0) -> Message:
    """Wait until the answer to a command shows its end."""

    def shown() -> Message | None:
        return used.original if used.original is not None and is_final(used.original) else None

    return await server.wait_for(shown, timeout)


async def wait_of(server: LoopbackDiscord, used: Interaction, timeout: float = 20.0) -> Message:
    """Wait until the answer to a command says that the job is queued, or later."""

    def shown() -> Message | None:
        message = used.original
        return message if message is not None and jobs_of(message) else None

    return await server.wait_for(shown, timeout)


def _offers(custom_ids: tuple[str, ...], action: str) -> bool:
    return any(m[1] == action for c in custom_ids if (m := BUTTON.fullmatch(c)))


async def answered(server: LoopbackDiscord, member: Member, action: str = "show") -> Interaction:
    """What /privacy says, in private."""
    used = await member.slash("privacy", action=action)
    await server.wait_for(lambda: used.said)
    assert used.original is not None and used.original.ephemeral
    return used


async def invited(
    server: LoopbackDiscord, member: Member, **options: Any
) -> tuple[str, Interaction]:
    """The link of an invitation that only `member` sees."""
    used = await member.slash("sketch", **options)
    await server.wait_for(lambda: used.said)
    assert used.original is not None and used.original.ephemeral
    found = re.search(r"https://paint\.example/draw/([\w-]+)", str(used.original.components))
    assert found is not None
    return found[1], used
