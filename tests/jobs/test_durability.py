"""A process killed in the middle of a burst of enqueues has lost nothing that it acknowledged."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.jobs.samples import open_store

BURST = """
import asyncio, sys
from pathlib import Path
from bot.jobs.store import Store
from tests.jobs.samples import ROOMY, a_job

async def member(store, owner):
    while True:
        job = a_job(owner)
        await store.enqueue([job], ROOMY)
        sys.stdout.write(job.id + "\\n")
        sys.stdout.flush()

async def main():
    store = await Store.open(Path(sys.argv[1]), Path("files"))
    await asyncio.gather(*(member(store, owner) for owner in range(20)))

asyncio.run(main())
"""


async def _killed_burst(path: Path, lines: int) -> set[str]:
    """The ids that a process acknowledged before it was killed, some time after `lines` of them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BURST, str(path), stdout=PIPE
    )
    assert process.stdout is not None
    seen = [await asyncio.wait_for(process.stdout.readline(), 20) for _ in range(lines)]
    process.kill()
    seen += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return {line.decode().strip() for line in seen if line.endswith(b"\n")}


async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    acknowledged: set[str] = set()
    for lines in (1, 37, 400):
        acknowledged |= await _killed_burst(path, lines)
    async with open_store(path) as store:
        stored = {job.id for job in await store.waiting()}
    assert len(acknowledged) >= 438
    assert acknowledged <= stored
