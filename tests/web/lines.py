"""A line between a browser and the app that can be bad."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass(eq=False)
class Line:
    """How it is: whether streams are silent that were opened so far, and when it breaks."""

    address: str = ""
    opened: int = 0
    silent: int = 0
    """So many streams, the first ones, carry nothing any more, and do not end."""
    most: float = float("inf")
    """A connection breaks once it has carried so many bytes."""


@asynccontextmanager
async def line_to(host: str, port: int) -> AsyncIterator[Line]:
    """A line to a server."""
    line, tasks = Line(), set[asyncio.Task[None]]()

    async def carry(client: tuple[StreamReader, StreamWriter]) -> None:
        server = await asyncio.open_connection(host, port)
        numbers: list[int] = []  # of the stream that it carries
        asking = asyncio.create_task(_ask(line, client[0], server[1], numbers))
        with suppress(ConnectionError):
            await _answer(line, server[0], client[1], numbers)
        asking.cancel()
        server[1].transport.abort()
        client[1].transport.abort()

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        tasks.add(asyncio.create_task(carry((reader, writer))))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    line.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(line: Line, reader: StreamReader, writer: StreamWriter, numbers: list[int]) -> None:
    while data := await reader.read(2**16):
        if b"text/event-stream" in data:
            line.opened += 1
            numbers[:] = [line.opened]
        writer.write(data)
    writer.transport.abort()


async def _answer(
    line: Line, reader: StreamReader, writer: StreamWriter, numbers: list[int]
) -> None:
    carried = 0
    while data := await reader.read(2**16):
        carried += len(data)
        if carried > line.most:
            return
        if any(number <= line.silent for number in numbers):
            await asyncio.Event().wait()
        writer.write(data)
        await writer.drain()
