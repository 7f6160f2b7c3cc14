"""The rules that the administrators of a server set, for all of it and for single channels.

Only what was set is stored: a channel follows its server, a server the bot's defaults. What holds
is kept in memory, so that asking costs nothing, and a change holds as soon as the disk has it.
"""

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.jobs.database import Database
from pipelines.contract.errors import BadInput
from pipelines.contract.requests import MAX_COUNT

log = logging.getLogger(__name__)

SERVER = 0  # in the place of a channel: the server's own rules
SERVER_ONLY = frozenset({"role_weights", "log_channel"})
"""What a server has once: a channel cannot have it otherwise."""
NEVER_MORE = ("waiting", "keep_days")
"""Where the owner of the bot says how much a server may have at most."""

OLDEST_DAYS = 3650  # for which somebody can be asked to have been there

Weight = Annotated[float, Field(ge=0.1, le=100)]


class Settings(BaseModel):
    """What holds in a channel. Empty sets stand for no restriction."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    commands_off: frozenset[str] = frozenset()
    """Kinds of requests that are refused. Those of later versions are not among them."""
    roles: frozenset[int] = frozenset()
    """Who may use the bot: whoever has one of them."""
    styles: frozenset[str] = frozenset()
    """Those that may be chosen."""
    aspects: frozenset[str] = frozenset()
    """Shapes of pictures that may be chosen."""
    pictures: Annotated[int, Field(ge=1, le=MAX_COUNT)] = MAX_COUNT
    """The most that one request may ask for."""
    daily_seconds: Annotated[float, Field(ge=1)] | None = None
    """GPU-seconds that a member may use in 24 hours before what they ask waits behind others."""
    waiting: Annotated[int, Field(ge=1)] = 5
    """Jobs that a member may have waiting or running."""
    role_weights: Mapping[int, Weight] = Field(default_factory=dict)
    """How many times as much of the GPU members with a role get as others of the server."""
    previews: bool = True
    """Whether a running job shows what it has so far."""
    language: str | None = None
    """A tag as `bot.languages` has them, for everyone; else each member's own."""
    keep_days: Annotated[int, Field(ge=1)] = 30
    """How long drawings and results are kept after their job has ended."""
    minimum_age_days: Annotated[int, Field(ge=0, le=OLDEST_DAYS)] = 0
    """How long somebody must have been in the server before they may ask for anything."""
    log_channel: int | None = None
    """Where moderators read what happened."""

    def weight(self, roles: Collection[int]) -> float:
        """The share of a member with `roles`: the largest that one of them gives, but 1 at most.

        It is divided by the largest that any role here gives. For turns are taken with members of
        other servers, who have 1: a server can give the rest of its own less, and nobody more.
        """
        own = max((w for role, w in self.role_weights.items() if role in roles), default=1.0)
        return own / max([1.0, *self.role_weights.values()])


class SettingsBook:
    """What holds in every server and channel. `read` is awaited once, before it is asked."""

    def __init__(self, database: Database, defaults: Settings) -> None:
        self.defaults = defaults
        self._database = database
        # By server and channel: what was set just there, as JSON, and what holds there with it.
        self._own: dict[tuple[int, int], dict[str, Any]] = {}
        self._effective: dict[tuple[int, int], Settings] = {}
        self._changing = asyncio.Lock()

    async def read(self) -> None:
        """Take up what was set in earlier runs."""
        rows = await self._database.run("SELECT server, channel, said FROM settings")
        self._own = {(server, channel): json.loads(said) for server, channel, said in rows}
        for server in {server for server, _ in self._own}:
            self._update(server)

    def of(self, server: int | None, channel: int = SERVER) -> Settings:
        """What holds in a channel, or in a server as a whole; outside of servers, the defaults."""
        if server is None:
            return self.defaults
        holds = self._effective
        return holds.get((server, channel)) or holds.get((server, SERVER)) or self.defaults

    def own(self, server: int, channel: int = SERVER) -> frozenset[str]:
        """The names of what was set just there."""
        return frozenset(self._own.get((server, channel), ())) & Settings.model_fields.keys()

    def channels(self, server: int) -> list[int]:
        """The channels of a server that have rules of their own."""
        return sorted(c for s, c in self._own if s == server and c != SERVER)

    async def change(self, server: int, channel: int = SERVER, /, **values: Any) -> Settings:
        """Set `values` there. What would hold there anyway is not kept as an own rule.

        Returns what holds then, at once and for everybody. Raises BadInput, StorageFailed.
        """
        async with self._changing:
            await self._change(server, channel, values)
        return self.of(server, channel)

    async def clear(self, server: int, channel: int = SERVER) -> Settings:
        """Forget what was set there. Returns what holds then. Raises StorageFailed."""
        async with self._changing:
            await self._write(server, channel, {})
        return self.of(server, channel)

    async def set_weights(
        self, server: int, weights: Mapping[int, float], roles: Collection[int]
    ) -> None:
        """Set the weights of some roles, and forget those that are no longer among its `roles`.

        For the largest weight divides all others, whether anybody can have its role or not. Raises
        BadInput, StorageFailed.
        """
        async with self._changing:
            before = self.of(server).role_weights
            after = {r: w for r, w in {**before, **weights}.items() if r in roles and w != 1}
            if after != before:
                await self._change(server, SERVER, {"role_weights": after})

    async def _change(self, server: int, channel: int, values: Mapping[str, Any]) -> None:
        """Set `values`, for whoever holds the lock."""
        said = dict(self._own.get((server, channel), {}))
        base = self.defaults if channel == SERVER else self.of(server)
        for name, value in values.items():
            checked = self._checked(name, value, channel)
            if checked == getattr(base, name):
                said.pop(name, None)
            else:
                said[name] = _plain(name, checked)
        await self._write(server, channel, said)

    def _checked(self, name: str, value: object, channel: int) -> object:
        """The value as Settings has it. Raises BadInput where it may not be set there."""
        if channel != SERVER and name in SERVER_ONLY:
            raise BadInput("This holds for the whole server: please set it there.")
        try:
            checked = getattr(Settings(**{name: value}), name)
        except ValidationError:
            raise BadInput(
                "“{value}” cannot be set here. Please choose one of what is offered.",
                value=str(value)[:60],
            ) from None
        if name in NEVER_MORE and checked > (most := getattr(self.defaults, name)):
            raise BadInput(
                "The owner of this bot allows at most {most} here, not {value}.",
                most=most,
                value=checked,
            )
        return checked

    async def _write(self, server: int, channel: int, said: dict[str, Any]) -> None:
        place = {"server": server, "channel": channel}
        if said:
            await self._database.run(
                "INSERT INTO settings VALUES (:server, :channel, :said)"
                " ON CONFLICT (server, channel) DO UPDATE SET said = :said",
                **place,
                said=json.dumps(said),
            )
            self._own[server, channel] = said
        else:
            await self._database.run(
                "DELETE FROM settings WHERE server = :server AND channel = :channel", **place
            )
            self._own.pop((server, channel), None)
        self._update(server)

    def _update(self, server: int) -> None:
        """Work out again what holds in a server and its channels."""
        whole = self._merged(self.defaults, server, SERVER)
        self._effective = {place: s for place, s in self._effective.items() if place[0] != server}
        self._effective[server, SERVER] = whole
        for channel in self.channels(server):
            self._effective[server, channel] = self._merged(whole, server, channel)

    def _merged(self, base: Settings, server: int, channel: int) -> Settings:
        """`base` with what was set there, as far as today's version understands it."""
        values = {name: getattr(base, name) for name in Settings.model_fields}
        for name, value in self._own.get((server, channel), {}).items():
            if name not in values:  # another version's
                continue
            try:
                values[name] = getattr(Settings(**{name: value}), name)
            except ValidationError:
                log.warning("server %d: %s is set to %r: ignored", server, name, value)
        for name in NEVER_MORE:
            values[name] = min(values[name], getattr(self.defaults, name))
        return Settings(**values)


def _plain(name: str, value: object) -> object:
    """JSON's form of a value."""
    return Settings(**{name: value}).model_dump(mode="json", include={name})[name]
