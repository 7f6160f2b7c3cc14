"""Tokens by which programs and people use the HTTP API: `python -m bot token …` makes them.

Each is a file of its own in the storage folder, not a row of the job store, which the running bot
holds locked: so one can be added or revoked while the bot runs, and it holds from the next request
on. The file's name is the token's owner id; it is made exclusively, so that no two get the same.
What root makes belongs to the owner of the storage folder, or the bot's user could not read it.

What is kept is the SHA-256 of the token. A slow hash protects passwords, which can be guessed; of
256 random bits nobody guesses any.
"""

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.errors import ConfigError, cannot_use
from bot.jobs.limits import Terms
from pipelines.visible import nearest, require_visible

log = logging.getLogger(__name__)

PREFIX = "atl_"
LOCAL = 1  # the owner id of whoever uses this machine; tokens' follow, and Discord's are far larger
MAX_NAME = 60
_SETTLED = 2.0  # seconds after which a folder's time tells two changes apart


class Token(BaseModel):
    """Whose it is, and what they may have. Without a number, what holds for everyone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[int, Field(gt=LOCAL)]
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    digest: str
    made_at: float
    revoked_at: float | None = None
    daily_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    waiting: Annotated[int, Field(ge=1)] | None = None
    per_minute: Annotated[int, Field(ge=1)] | None = None
    weight: Annotated[float, Field(ge=0.1, le=100)] = 1.0

    @property
    def is_good(self) -> bool:
        """Whether it was not revoked."""
        return self.revoked_at is None

    @property
    def agreed(self) -> str:
        """In words, what its owner may have that differs from what everyone may."""
        told = {
            "{:g} s a day": self.daily_seconds,
            "{} waiting": self.waiting,
            "{} a minute": self.per_minute,
            "weight {:g}": self.weight if self.weight != 1.0 else None,
        }
        return ", ".join(words.format(value) for words, value in told.items() if value is not None)

    def terms(self, waiting: int) -> Terms:
        """What its owner may have; `waiting` is what everyone may."""
        return Terms(
            waiting=self.waiting or waiting,
            daily_seconds=self.daily_seconds,
            weight=self.weight,
        )


class TokenBook:
    """The tokens in a folder, read anew when it has changed."""

    @classmethod
    def in_storage(cls, storage: Path) -> Self:
        """Those of a bot with that storage folder."""
        return cls(storage / "tokens")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._good: dict[str, Token] = {}
        self._seen = -1.0  # when the folder had been changed that was read
        self._logged: list[str] = []  # what is wrong there

    def find(self, secret: str) -> Token | None:
        """The token that somebody shows, unless it was revoked or never made."""
        self._refresh()
        return self._good.get(_digest(secret))

    def all(self) -> list[Token]:
        """All that were ever made and can be read, oldest first. Raises ConfigError."""
        with self._explained():
            return sorted(_read(self._folder)[0], key=lambda token: token.id)

    def damaged(self) -> list[str]:
        """What to do about each file that is no token. Raises ConfigError."""
        with self._explained():
            return _read(self._folder)[1]

    def add(self, name: str, **terms: float | None) -> str:
        """Make a token and return it; it can never be shown again. Raises ConfigError."""
        if not (0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip()):
            raise ConfigError(f"Name a token in one line of 1 to {MAX_NAME} characters.")
        if any(token.name == name and token.is_good for token in self.all()):
            raise ConfigError(
                f"There is a token “{name}” already. Revoke it first, or name another."
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        numbers = (int(f.stem) for f in self._folder.glob("*.json") if f.stem.isdecimal())
        number = max(numbers, default=LOCAL) + 1  # nobody inherits another's jobs
        fields = {"id": number, "name": name, "digest": _digest(secret), "made_at": time.time()}
        try:
            token = Token.model_validate({**fields, **terms})
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"{first['loc'][0]}: {first['msg']}.") from None
        with self._explained():
            self._make_folder()
            try:
                _write(self._file(token), token)
            except FileExistsError:
                return self.add(name, **terms)  # somebody took the number a moment ago
        return secret

    def revoke(self, name: str) -> None:
        """Have a token be good for nothing from now on. Raises ConfigError."""
        for token in self.all():
            if token.name == name and token.is_good:
                revoked = token.model_copy(update={"revoked_at": time.time()})
                unfinished = self._file(token).with_suffix(".new")
                with self._explained():
                    unfinished.unlink(missing_ok=True)
                    _write(unfinished, revoked)
                    unfinished.replace(self._file(token))
                return
        names = ", ".join(t.name for t in self.all() if t.is_good) or "none"
        raise ConfigError(f"There is no token “{name}”. Those that are good: {names}.")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the disk refuses into ConfigError."""
        try:
            yield
        except OSError as error:
            raise cannot_use(self._folder, error) from error

    def _make_folder(self) -> None:
        there, folder = nearest(self._folder.parent).absolute(), self._folder.absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for made in takewhile(lambda path: path != there, (folder, *folder.parents)):
            _give(made, there)

    def _file(self, token: Token) -> Path:
        return self._folder / f"{token.id}.json"

    def _refresh(self) -> None:
        changed, tokens, damaged = -1.0, list[Token](), list[str]()
        try:
            changed = self._folder.stat().st_mtime
            if changed == self._seen:
                return
            tokens, damaged = _read(self._folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            damaged = [_unreadable(self._folder, error)]
        for what in damaged:
            if what not in self._logged:
                log.error(what)
        self._logged = damaged
        self._good = {token.digest: token for token in tokens if token.is_good}
        # A change within the same tick of the disk's clock could not be told from this one, nor
        # that somebody mends what is damaged.
        settled = not damaged and time.time() - changed > _SETTLED
        self._seen = changed if settled else -1.0


def _read(folder: Path) -> tuple[list[Token], list[str]]:
    """The tokens in a folder, and what to do about each file that is none.

    Raises PermissionError: where nobody may look, there would seem to be none.
    """
    require_visible(folder)
    tokens, damaged = [], []
    for file in folder.glob("*.json"):
        try:
            tokens.append(Token.model_validate_json(file.read_text("utf-8")))
        except OSError as error:
            damaged.append(_unreadable(file, error))
        except ValueError as error:
            why = type(error).__name__
            damaged.append(
                f"{file} is no token ({why}). Make a new one, and leave this file where it is: "
                "without it, another could be given its number, and see its jobs."
            )
    return tokens, damaged


def _unreadable(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be read ({error.strerror}), so no token there is good. Give it to the user "
        "that the bot runs as."
    )


def _write(file: Path, token: Token) -> None:
    """Write a new file that only its owner may read. Raises OSError, FileExistsError."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            _give(handle, file.parent)
            new.write(token.model_dump_json())
            new.flush()
            os.fsync(new.fileno())
    except BaseException:  # on a full disk it would be there, and no token, for ever
        file.unlink()
        raise


def _give(made: Path | int, like: Path) -> None:
    """Have what root made, a folder or an open file, belong to whoever owns `like`."""
    if getattr(os, "geteuid", lambda: None)() == 0:
        owner = like.stat()
        # Through a link, root would give away something else.
        follow = isinstance(made, int)
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=follow)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
