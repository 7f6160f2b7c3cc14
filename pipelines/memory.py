"""The RAM that this process may use, which may be less than the machine has. No torch."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")


def total_ram() -> int:
    """Bytes of RAM: the machine's, or those that a container or a service is limited to.

    Linux says the limit in control groups, of which each may have less than the one around it.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    return min([int(psutil.virtual_memory().total), *_limits()])


def _limits() -> Iterator[int]:
    with suppress(OSError):
        for line in _OURS.read_text("utf-8").splitlines():
            number, _, name = line.split(":", 2)
            if number != "0":  # of the older version
                continue
            ours = PurePosixPath(name.lstrip("/"))
            for group in (ours, *ours.parents):
                with suppress(OSError, ValueError):  # there is none, or it is "max"
                    yield int((_GROUPS / group / "memory.max").read_text("utf-8"))
