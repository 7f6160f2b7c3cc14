"""Links by which a member draws in the browser: signed, good for some minutes and for one job.

What is signed is short enough for a button's address. What it stands for (where, as whom and what
was asked for in the command) is a row of the store; that it was used is seen by its job.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import LinkExpired, LinkInvalid, cannot_use
from bot.jobs.database import Database

_PAYLOAD = struct.Struct(">8sQQI")  # job, member, channel, until when
_SIGNATURE = 32  # bytes: together 60, of which base64 is 80 letters and needs no padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Who may draw for which channel until `ends_at` (Unix seconds), and the job's id."""

    job_id: str
    member: int
    channel: int
    ends_at: int


class Links:
    """Makes links and reads them. `key` signs them."""

    def __init__(
        self, database: Database, key: bytes, *, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._key = key
        self._now = now

    async def make(self, link: Link, kept: Mapping[str, Any]) -> str:
        """Sign a link, and keep what it stands for until `Store.forget_expired` after its end."""
        await self._database.run(
            "INSERT INTO links VALUES (:id, :owner, :said, :ends_at)",
            id=link.job_id,
            owner=link.member,
            said=json.dumps(dict(kept)),
            ends_at=float(link.ends_at),
        )
        payload = _PAYLOAD.pack(bytes.fromhex(link.job_id), link.member, link.channel, link.ends_at)
        return base64.urlsafe_b64encode(payload + self._sign(payload)).decode()

    def read(self, text: str, late: float = 0.0) -> Link:
        """What a link says, until `late` seconds after its end. Raises LinkInvalid, LinkExpired."""
        data = _decoded(text)
        payload, signature = data[: _PAYLOAD.size], data[_PAYLOAD.size :]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise _invalid()
        job, member, channel, ends_at = _PAYLOAD.unpack(payload)
        if ends_at + late <= self._now():
            raise LinkExpired(
                "This link has expired: it is good for a quarter of an hour. Type /sketch again "
                "for a new one."
            )
        return Link(job_id=job.hex(), member=member, channel=channel, ends_at=ends_at)

    async def kept(self, link: Link) -> dict[str, Any]:
        """What was kept for a link. Raises LinkInvalid where its member had it forgotten."""
        rows = await self._database.run("SELECT said FROM links WHERE id = :id", id=link.job_id)
        if not rows:
            raise _invalid()
        kept: dict[str, Any] = json.loads(rows[0][0])
        return kept

    async def of(self, member: int) -> list[Mapping[str, Any]]:
        """What is kept for the links of a member, the next to end first, with `ends_at`."""
        rows = await self._database.run(
            "SELECT said, ends_at FROM links WHERE owner = :owner AND ends_at >= :now"
            " ORDER BY ends_at",
            owner=member,
        )
        return [{**json.loads(said), "ends_at": ends_at} for said, ends_at in rows]

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, hashlib.sha256)


def read_key(file: Path) -> bytes:
    """The key in a file that only the bot may read; made where there is none yet.

    Raises ConfigError.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if len(key := file.read_bytes()) >= _SIGNATURE:
                return key
            file.unlink()  # a crash came between its making and its writing
            return read_key(file)
        with os.fdopen(handle, "wb") as new:
            new.write(key := secrets.token_bytes(_SIGNATURE))
            return key
    except OSError as error:
        raise cannot_use(file, error) from error


def _decoded(text: str) -> bytes:
    """The bytes of a link, in the one way to write them. Raises LinkInvalid."""
    try:
        data = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        raise _invalid() from None
    written = base64.urlsafe_b64encode(data).decode()
    if len(data) != _PAYLOAD.size + _SIGNATURE or written != text:
        raise _invalid()
    return data


def _invalid() -> LinkInvalid:
    return LinkInvalid("This link is not one of this bot's, or it was altered. Type /sketch again.")
