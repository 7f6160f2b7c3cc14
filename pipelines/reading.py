"""Weights read before they are asked for, so that a start is as long as its slowest part. No torch.

Importing the libraries takes a processor several seconds, in which the disk has nothing to do; and
the loader reads weights page by page as it touches them, which no fast disk is quick at.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from pipelines.catalog import Catalog
from pipelines.checkpoints import weight_files
from pipelines.contract.errors import ModelUnavailable
from pipelines.memory import total_ram

log = logging.getLogger(__name__)

Piece = tuple[Path, int]
"""A file, and where in it the piece begins."""

_PIECE = 2**26  # bytes that one thread reads in turn
_THREADS = 4  # disks are quickest when asked for several things at a time
_SHARE = 0.7  # of the free RAM: what is read last must not drive out what was read first


def read_ahead(catalog: Catalog, models_folder: Path | None = None) -> threading.Thread:
    """Have the operating system hold the weights of a catalogue in its cache.

    Returns at once: a daemon thread does it, in the order in which models are loaded. What is not
    there, or cannot be read, is left to the loader to complain about.
    """
    thread = threading.Thread(
        target=_read, args=(catalog, models_folder), name="read ahead", daemon=True
    )
    thread.start()
    return thread


def _read(catalog: Catalog, models_folder: Path | None) -> None:
    pieces = list(_within(_pieces(_files(catalog, models_folder)), _SHARE * _free()))
    done: list[int] = []
    # No pool: Python would not end before its threads have read all that they were ever asked for.
    threads = [
        threading.Thread(target=_read_part, args=(pieces[n::_THREADS], done), daemon=True)
        for n in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.debug("read %d MiB ahead", sum(done) >> 20)


def _read_part(pieces: Iterable[Piece], done: list[int]) -> None:
    """Read pieces, and note how many bytes they were."""
    try:
        done.append(sum(map(_read_piece, pieces)))
    except OSError as error:
        log.debug("not read ahead: %s", error)


def _free() -> int:
    return min(int(psutil.virtual_memory().available), total_ram())


def _files(catalog: Catalog, models_folder: Path | None) -> Iterator[Path]:
    for place, checkpoint in catalog.checkpoints():
        try:
            yield from weight_files(place, checkpoint, models_folder)
        except ModelUnavailable:
            continue


def _pieces(files: Iterable[Path]) -> Iterator[tuple[Piece, int]]:
    """Where each piece begins, and its size in bytes."""
    for file in files:
        size = file.stat().st_size
        for begin in range(0, size, _PIECE):
            yield (file, begin), min(_PIECE, size - begin)


def _within(pieces: Iterable[tuple[Piece, int]], room: float) -> Iterator[Piece]:
    """The first pieces, as far as they fit `room`."""
    for piece, size in pieces:
        room -= size
        if room < 0:
            return
        yield piece


def _read_piece(piece: Piece) -> int:
    """Read and forget; returns how many bytes it was."""
    file, begin = piece
    with file.open("rb", buffering=0) as opened:
        opened.seek(begin)
        return len(opened.read(_PIECE))
