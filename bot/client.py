"""The discord.py client: the command tree, the buttons, and staying connected."""

import asyncio
import hashlib
import json
import logging
import time
from typing import Any, cast

import aiohttp
import discord
from discord import app_commands
from discord.utils import MISSING

from bot.commands.animate import animate
from bot.commands.config import config_
from bot.commands.describe import describe
from bot.commands.history import history
from bot.commands.imagine import imagine
from bot.commands.info import info
from bot.commands.intake import Intake
from bot.commands.menus import menus
from bot.commands.moderate import moderate
from bot.commands.privacy import privacy
from bot.commands.queue import queue_
from bot.commands.results import results
from bot.commands.sketch import sketch
from bot.commands.styles import styles
from bot.commands.translator import CommandTranslator
from bot.commands.upscale import upscale
from bot.commands.usage import usage
from bot.config import Config
from bot.errors import Refused, StartupError, StorageFailed, TokenRefused
from bot.jobs.files import FileStore
from bot.jobs.pauses import growing
from bot.jobs.queue import JobQueue
from bot.jobs.store import Store
from bot.ui.answers import answer_error, answering
from bot.ui.buttons import CUSTOM_ID, JobButton
from bot.ui.desk import REASON_ID, Desk
from bot.ui.editing import FORM_ID, take_form
from bot.ui.history import HISTORY_ID, HistoryButton
from bot.ui.presses import Presses
from bot.ui.proposals import PROPOSAL_ID, ProposalButton
from bot.ui.reports import REPORT_ID, ReportButton
from bot.ui.roads import Roads
from bot.ui.rule_board import RULES_ID, RuleControl, take_rules
from bot.ui.rule_forms import RULES_FORM_ID
from bot.ui.styles import PAGE_ID, PageButton
from bot.ui.views import shown_ids
from bot.ui.whiteboard import Whiteboard
from pipelines.contract.text import Text

log = logging.getLogger(__name__)

SYNCED = "synced commands"  # the store's note of what Discord was last told
BUTTONS = {
    JobButton: CUSTOM_ID,
    ReportButton: REPORT_ID,
    RuleControl: RULES_ID,
    ProposalButton: PROPOSAL_ID,
    PageButton: PAGE_ID,
    HistoryButton: HISTORY_ID,
}
"""All that can be used in a message, and how their custom_ids read."""
OUTDATED = Text("This is from an older version of the bot and no longer works. Please start anew.")
GONE = Text("This button is no longer there: the message has changed meanwhile.")
HANDLERS = ("CommandTree-invoker", "discord-ui-dynamic-item-", "discord.py: on_interaction")
"""How discord.py names the tasks in which an interaction is answered."""
LAST = 3.0  # seconds that they have when the bot ends
STEADY = 60.0  # seconds after which a connection that breaks had been a good one


class AtelierClient(discord.Client):
    """Answers members. Starts no background task: the app does."""

    def __init__(self, queue: JobQueue, files: FileStore, store: Store, config: Config) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
        )
        self.queue = queue
        self.styles = config.models.styles
        self.presses = Presses()
        self.roads = Roads(self)
        members = config.discord.install == "servers-and-members"
        self.tree = app_commands.CommandTree(  # what holds for every command that says no other
            self,
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=members, private_channel=members
            ),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=members),
        )
        self.tree.error(_on_command_error)
        self.whiteboard = Whiteboard(queue, self.roads)
        self.desk = Desk(queue, files, self.roads)
        self._translator = CommandTranslator()
        self._store = store
        self.intake = intake = Intake(queue, files, config.limits, config.models)
        entries: list[app_commands.Command[Any, ..., Any] | app_commands.ContextMenu] = [
            sketch(intake, config.models, self.whiteboard),
            imagine(intake, config.models),
            animate(intake),
            upscale(intake),
            styles(config.models),
            describe(intake),
            info(intake, told=config.models.metadata),
            history(queue),
            queue_(queue),
            results(queue),
            privacy(queue, self.whiteboard),
            usage(queue),
            config_(queue),
            moderate(self.desk, queue.moderation),
            *menus(intake, queue, self.desk),
        ]
        for entry in entries:
            self.tree.add_command(entry)

    async def setup_hook(self) -> None:
        """After the login, before the connection; discord.py calls this."""
        self.add_dynamic_items(*BUTTONS)
        await self.tree.set_translator(self._translator)
        self.roads.open()
        try:
            await self.sync_commands()
        except discord.HTTPException as error:
            log.error("Discord did not take the commands; the old ones stay: %s", error)
        except StorageFailed as error:  # a full disk keeps nobody from being answered
            log.error("the commands are told again at the next start: %s", error.sentence)

    async def sync_commands(self, *, force: bool = False) -> bool:
        """Tell Discord the commands if they have changed since it was last told, or by `force`.

        Returns whether it was told. Needs a login.
        """
        commands = [
            await command.get_translated_payload(self.tree, self._translator)
            for command in self.tree.get_commands()
        ]
        told = json.dumps([self.application_id, commands], sort_keys=True)
        digest = hashlib.sha256(told.encode()).hexdigest()
        if not force and await self._store.get_note(SYNCED) == digest:
            return False
        await self.tree.sync()
        await self._store.set_note(SYNCED, digest)
        return True

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Take forms, and answer what nobody else does, such as buttons of an earlier version."""
        custom_id = str(cast(dict[str, Any], interaction.data or {}).get("custom_id", ""))
        match interaction.type:
            case discord.InteractionType.modal_submit:
                async with answering(interaction):
                    await self._take_form(interaction, custom_id)
            case discord.InteractionType.component:
                async with answering(interaction):
                    _check_shown(interaction.message, custom_id)

    async def on_guild_role_delete(self, role: discord.Role) -> None:
        """Forget what was set for a role with it; discord.py calls this."""
        await self.on_guild_available(role.guild)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Also for roles that were deleted while the bot was away; discord.py calls this."""
        await self.queue.settings.set_weights(guild.id, {}, {role.id for role in guild.roles})

    on_guild_join = on_guild_available  # to where it was before, maybe

    async def _take_form(self, interaction: discord.Interaction, custom_id: str) -> None:
        filled = hash(str(cast(dict[str, Any], interaction.data).get("components")))
        if form := REASON_ID.fullmatch(custom_id):  # has no message to leave as it is
            await self.desk.take_form(interaction, form["job_id"])
        elif self.presses.is_double(interaction, f"{custom_id}:{filled}"):
            await interaction.response.defer()
        elif form := FORM_ID.fullmatch(custom_id):
            await take_form(interaction, self.queue, form["job_id"])
        elif form := RULES_FORM_ID.fullmatch(custom_id):
            await take_rules(interaction, self.queue, int(form["channel"]))
        else:
            raise Refused(OUTDATED)

    async def log_in(self, token: str) -> None:
        """Log in, however long Discord or the network is away. Raises TokenRefused."""
        for pause in growing():
            try:
                await self.login(token)
                return
            except discord.LoginFailure as error:
                raise TokenRefused.by_discord() from error
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                why = str(error) or type(error).__name__  # which a timeout does not say
                log.warning("Discord cannot be reached (%s); trying again in %.0f s", why, pause)
                # login() opens another session, on the connector that close() closes.
                await self.http.close()
                self.http.connector = MISSING
                await asyncio.sleep(pause)

    async def stay_connected(self) -> None:
        """Connect, and connect again whatever happens, until `close`. Needs a login.

        Raises StartupError when Discord ends the connection for good.
        """
        pauses = growing()
        while not self.is_closed():
            since = time.monotonic()
            try:
                await self.connect()
            except discord.ConnectionClosed as closed:
                raise _closed_for_good(closed.code) from closed
            except discord.PrivilegedIntentsRequired as closed:
                raise _closed_for_good(4014) from closed
            except Exception:  # one message that discord.py cannot read must not end the bot
                log.exception("the connection broke; connecting anew")
                await self._hang_up()
                if time.monotonic() - since > STEADY:
                    pauses = growing()
                await asyncio.sleep(next(pauses))

    async def answer_last(self) -> None:
        """Let those be answered who were heard before the connection ended, as far as is quick."""
        heard = [task for task in asyncio.all_tasks() if task.get_name().startswith(HANDLERS)]
        if heard:
            await asyncio.wait(heard, timeout=LAST)

    async def _hang_up(self) -> None:
        """Close what a broken `connect` left open, its heartbeat above all."""
        if self.ws is not None:
            await self.ws.close(code=4000)


def _check_shown(message: discord.Message | None, custom_id: str) -> None:
    """Raise Refused for a button that discord.py takes to none of ours."""
    if not any(form.fullmatch(custom_id) for form in BUTTONS.values()):
        raise Refused(OUTDATED)
    if message is not None and custom_id not in shown_ids(message):
        raise Refused(GONE)


async def _on_command_error(
    interaction: discord.Interaction, error: app_commands.AppCommandError
) -> None:
    await answer_error(interaction, error)


def _closed_for_good(code: int) -> StartupError:
    """discord.py reconnects by itself after all codes but these (4004, 4010 to 4014)."""
    if code == 4004:
        return TokenRefused("Discord no longer accepts the bot token. Was it reset?")
    return StartupError(
        f"Discord ended the connection for good (code {code}): see "
        "https://discord.com/developers/docs/topics/opcodes-and-status-codes."
    )
