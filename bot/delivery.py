"""The end of a job reaches Discord, whatever became of token, size or channel."""

from bot.jobs.files import FileStore
from bot.jobs.job import Job
from bot.jobs.queue import JobQueue
from bot.ui.progress import ProgressBoard
from bot.ui.roads import Roads


class Delivery:
    """Tells a job's owner how it ended, by the first road that is open."""

    def __init__(
        self, roads: Roads, board: ProgressBoard, queue: JobQueue, files: FileStore
    ) -> None:
        self._roads = roads
        self._board = board
        self._queue = queue
        self._files = files

    async def deliver(self, job: Job) -> None:
        """Show the result or the reason. Raises Undeliverable when every road is closed for good."""
