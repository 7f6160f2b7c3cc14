"""What the user that the bot runs as may see: a folder may be there, and yet not be seen."""

import errno
import os
import stat
from pathlib import Path


def nearest(folder: Path) -> Path:
    """The first of a folder and those above it that is there and may be seen; else its root."""
    above = folder.absolute().parents
    there = (path for path in (folder, *above) if os.access(path, os.F_OK))
    return next(there, Path(folder.absolute().anchor))  # of a drive that is gone


def require_visible(folder: Path) -> None:
    """Raise PermissionError for a folder that is there, but may not be looked into."""
    try:
        mode = folder.stat().st_mode
    except PermissionError:
        raise
    except OSError:
        return
    if stat.S_ISDIR(mode) and not os.access(folder, os.R_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
