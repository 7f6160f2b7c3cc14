"""`python -m tests.loopback`: a Discord in a process of its own, with one member who types.

Prints `{"base": …, "token": …}`, then reads a command from each line of its input,
`{"command": "imagine", "options": {"prompt": "x", "image": "file.png"}}`, and prints
`{"sent": …, "acknowledged": …, "shown": …, "files": […], "edits": […]}` when the bot has shown its
end: sizes of the files in bytes, times of the monotonic clock, which all processes of a machine
share, and of all edits the Unix times with the names of their files. Ends with its input.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.loopback.member import ATTACHMENT, Member, Upload
from tests.loopback.model import Interaction
from tests.loopback.server import LoopbackDiscord
from tests.loopback.state import monotonic

PATIENCE = 600.0


async def main() -> None:
    async with LoopbackDiscord() as server, asyncio.TaskGroup() as commands:
        member = server.member("ada")
        _say({"base": server.base, "token": server.token})
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            await server.connected()
            options = _options(server, order["command"], order["options"])
            commands.create_task(_type(server, member, order["command"], options))


async def _type(
    server: LoopbackDiscord, member: Member, command: str, options: dict[str, Any]
) -> None:
    """Type a command and say when its end is shown."""
    used = await member.slash(command, **options)
    await server.wait_for(lambda: _has_ended(used), PATIENCE)
    _say(
        {
            "sent": used.sent,
            "acknowledged": used.acknowledged,
            "shown": monotonic(),
            "files": [len(f.data) for m in used.messages for f in m.files],
            "edits": [(v.at, v.files) for m in used.messages for v in m.versions],
        }
    )


def _has_ended(used: Interaction) -> bool:
    """Whether a message of it offers no Cancel any more."""
    return any(
        not m.loading and not any("cancel" in c for c in m.custom_ids) for m in used.messages
    )


def _options(server: LoopbackDiscord, command: str, given: dict[str, Any]) -> dict[str, Any]:
    """`given` with the paths of files made uploads."""
    kinds = {o["name"]: o["type"] for o in server.state.commands[command]["options"]}
    return {
        name: Upload(Path(value).name, Path(value).read_bytes())
        if kinds[name] == ATTACHMENT
        else value
        for name, value in given.items()
    }


def _say(fact: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
