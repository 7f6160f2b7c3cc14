"""The bot's branch of the tree that `pipelines.contract.errors` begins.

AtelierError
├── StartupError            the bot cannot start; one line on the terminal, exit code 2
│   ├── ConfigError         the configuration names what does not exist or cannot be
│   ├── AlreadyRunning      another process holds the job store
│   ├── PortTaken           the metrics' or the studio's address is in use
│   ├── TokenRefused        there is no token, or Discord refuses it
│   ├── DiscordUnreachable  a command that needs Discord at once got no answer
│   └── TooLittleDisk       the models to download do not fit on the disk
├── Refused                 a person asked for what they cannot have now; nothing was run
│   ├── QueueFull           too many jobs wait; says when to come back
│   ├── NotAllowed          the job is somebody else's, or a rule forbids it to this member
│   ├── WordNotAllowed      a prompt, or what was read in a drawing, holds an unwanted word
│   ├── Banned              the server's moderators have banned the member from the bot
│   ├── TooNew              the member has not been there for long enough
│   ├── NoSuchJob           it was deleted or never was
│   ├── Repeated            what happens once was asked for before
│   ├── LinkInvalid, LinkExpired, LinkUsed   a link to the whiteboard that is of no use
│   └── TooLate             it has already ended
├── Undeliverable           every road to the member is closed; the artifact is kept
│   └── Lost                what was made can no longer be read; nothing is charged for it
├── DiscordFailed           Discord did not take what has to be there first; nothing was run
├── StorageFailed           the disk refused a write; what was acknowledged before is safe
├── FileDamaged             a stored file's hash no longer matches
└── Unforeseen              a job met an error that is not in the tree; the log has it
"""

import errno
import os
import socket
from pathlib import Path
from typing import Any, Self

from pipelines.contract.errors import AtelierError
from pipelines.contract.text import Text


class StartupError(AtelierError):
    """The bot cannot start. The sentence says what is wrong and how to mend it."""

    code = "startup"


class ConfigError(StartupError):
    """The configuration file, or the lack of it. The sentence names file, key and remedy."""

    code = "config"


class AlreadyRunning(StartupError):
    """Another process holds the job store."""

    code = "already_running"


class PortTaken(StartupError):
    """The address for metrics or for the studio is in use."""

    code = "port_taken"


def cannot_listen(table: str, host: str, port: int | None, error: OSError) -> StartupError:
    """Why the server that a table configures cannot be there: PortTaken, or ConfigError."""
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"{table}.port: another program uses {host}:{port}. Choose another port, or stop that "
            "program."
        )
    if isinstance(error, socket.gaierror):
        why = error.strerror
    else:  # asyncio has words of its own, and no number where no address is this machine's
        why = os.strerror(error.errno or errno.EADDRNOTAVAIL)
    return ConfigError(
        f"{table}: cannot listen on {host}:{port} ({why}). Correct {table}.host and {table}.port."
    )


def cannot_use(place: Path, error: OSError) -> ConfigError:
    """Why a file or folder in the storage folder cannot be used."""
    return ConfigError(
        f"{place} cannot be used ({error.strerror}). Correct storage.folder or its permissions, "
        "or make room there."
    )


class TokenRefused(StartupError):
    """There is no token, or Discord refuses it."""

    code = "token_refused"

    @classmethod
    def by_discord(cls) -> Self:
        """Discord was asked and does not know the token."""
        return cls(
            "Discord refuses the bot token. Copy it anew from your application's Bot page at "
            "https://discord.com/developers/applications."
        )


class DiscordUnreachable(StartupError):
    """A command that needs Discord at once, as `sync` does, got no answer."""

    code = "discord_unreachable"


class TooLittleDisk(StartupError):
    """The models that are still to be downloaded do not fit on the disk."""

    code = "too_little_disk"


class Refused(AtelierError):
    """A person asked for what they cannot have now. Nothing was run and nothing was charged."""

    code = "refused"


class QueueFull(Refused):
    """Too many jobs wait, of this member or of all. In `after` seconds there should be room."""

    code = "queue_full"

    def __init__(self, sentence: str | Text, /, *, after: float, **values: Any) -> None:
        super().__init__(sentence, **values)
        self.after = after


class NotAllowed(Refused):
    """The job belongs to somebody else, or a rule forbids it to this member."""

    code = "not_allowed"


class WordNotAllowed(Refused):
    """A prompt, or what was read in a drawing, breaks a rule; `rule` says which."""

    code = "word"

    def __init__(self, text: Text, rule: str) -> None:
        super().__init__(text)
        self.rule = rule


class Banned(Refused):
    """The moderators of the server have banned the member from the bot."""

    code = "banned"


class TooNew(Refused):
    """The member has not been in the server, or on Discord, for long enough."""

    code = "too_new"


class NoSuchJob(Refused):
    """The job was deleted, or never was."""

    code = "no_such_job"

    @classmethod
    def unknown(cls) -> Self:
        """What is said of a job that is not there, and of one that is not for whoever asks."""
        return cls(
            Text(
                "This job is no longer known: it was deleted, or it is too old. "
                "Please ask anew with a command."
            )
        )


class Repeated(Refused):
    """What happens once was asked for before."""

    code = "repeated"


class LinkInvalid(Refused):
    """A link to the whiteboard was altered, or never made here."""

    code = "link_invalid"


class LinkExpired(Refused):
    """A link to the whiteboard is too old."""

    code = "link_expired"


class LinkUsed(Refused):
    """A drawing was made through this link before."""

    code = "link_used"


class TooLate(Refused):
    """The job has already ended."""

    code = "too_late"


class Undeliverable(AtelierError):
    """Every road to the member is closed, for good. The artifact is kept."""

    code = "undeliverable"


class Lost(Undeliverable):
    """What was made can no longer be read, through no doing of its member's."""

    code = "lost"


class DiscordFailed(AtelierError):
    """Discord refused, or could not take, what has to be there before a job is. Nothing was run."""

    code = "discord_failed"


class StorageFailed(AtelierError):
    """The disk refused to write or to read. What was acknowledged before is safe."""

    code = "storage_failed"

    @classmethod
    def because(cls, error: Exception) -> Self:
        """What a person may read of an OSError or of SQLite's errors: not where it happened."""
        return cls(
            Text(
                "The bot's storage failed ({error}). Please try again later; if it happens again, "
                "ask the bot's owner to look at the disk: it may be full.",
                error=getattr(error, "strerror", None) or str(error),
            )
        )


class FileDamaged(AtelierError):
    """A stored file is gone or its hash no longer matches."""

    code = "file_damaged"


class Unforeseen(AtelierError):
    """A job met an error that is not in the tree. The log has the traceback."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__(
            Text(
                "Something went wrong that nobody foresaw. It is in the log now; please try "
                "again, and tell the bot's owner if it happens again."
            )
        )
