"""`python -m benchmarks.burst`: a thousand slash commands at once, over real sockets.

The bot is a process of its own, with everything real but the models: discord.py, the store on
disk, the executor's thread, which paints small pictures meanwhile. Discord is this process: a
loopback server, and 250 members who each type four commands in the same moment. The limits let
600 jobs wait, three of each member.

Measured is the time from the moment a command leaves Discord to the moment its acknowledgement
arrives there; Discord gives up after three seconds. Then each command is followed to its end:
*accepted* is one whose member was shown a job of theirs, *refused* one whose member was told
why. A third kind, a member who waits for ever, must not be.
"""

import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmarks._report import report
from tests.integration.processes import BotProcess
from tests.integration.shown import end_of, jobs_of
from tests.loopback import Interaction, LoopbackDiscord, Member

MEMBERS, EACH = 250, 4
PER_MEMBER, IN_ALL = 3, 600
GOAL = 2.0
PATIENCE = 90.0


async def main() -> bool:
    """Run the burst, print its line and return whether the goal was met."""
    with tempfile.TemporaryDirectory(prefix="atelier-burst-") as folder:
        async with LoopbackDiscord() as server, _bot(server, Path(folder)) as bot:
            members = [server.member(f"member{n}") for n in range(MEMBERS)]
            await bot.start()
            await end_of(server, await members[0].slash("imagine", prompt="warming up"))
            used = await _burst(members)
            await _answered(server, used)
            await bot.stop()
    return _report(used)


def _bot(server: LoopbackDiscord, folder: Path) -> BotProcess:
    return BotProcess(server, folder, per_member=PER_MEMBER, in_all=IN_ALL, step_seconds=0.02)


async def _burst(members: list[Member]) -> list[Interaction]:
    """Every member types every command of theirs, nobody waits for anybody."""
    return await asyncio.gather(
        *(
            member.slash("imagine", prompt=f"{member.user.name} {number}", seed=number)
            for number in range(EACH)
            for member in members
        )
    )


async def _answered(server: LoopbackDiscord, used: list[Interaction]) -> None:
    """Wait until every command has its answer, or nothing more comes."""
    with suppress(AssertionError):
        await server.wait_for(lambda: all(_accepted(u) or _refused(u) for u in used), PATIENCE)


def _accepted(used: Interaction) -> bool:
    return used.original is not None and bool(jobs_of(used.original))


def _refused(used: Interaction) -> bool:
    return any(m.ephemeral and m.text for m in used.messages)


def _report(used: list[Interaction]) -> bool:
    waits = sorted(u.waited if u.waited is not None else float("inf") for u in used)
    p99 = waits[int(len(waits) * 0.99) - 1]
    accepted, refused = sum(map(_accepted, used)), sum(map(_refused, used))
    lost = len(used) - accepted - refused
    figure = (
        f"{len(used)} commands, p99 acknowledged in {p99:.2f} s (median "
        f"{waits[len(waits) // 2]:.2f} s, last {waits[-1]:.2f} s), {accepted} accepted, "
        f"{refused} refused, {lost} lost"
    )
    return report("burst", figure, f"p99 ≤ {GOAL:g} s, none lost", met=p99 <= GOAL and lost == 0)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
