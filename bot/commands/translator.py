"""The commands' descriptions, choices and menu entries in the languages of Discord's members.

Names of commands and of options stay English: people tell them to each other.
"""

from discord import Locale, app_commands
from discord.app_commands import TranslationContextLocation as Where
from discord.app_commands import TranslationContextTypes, locale_str

from bot.languages import ENGLISH, language

NAMES = (Where.command_name, Where.group_name, Where.parameter_name)


class CommandTranslator(app_commands.Translator):
    """Asked by discord.py for every string of every command, in each of Discord's locales."""

    async def translate(
        self, string: locale_str, locale: Locale, context: TranslationContextTypes
    ) -> str | None:
        """The string in that locale; None where it is to stay as it is."""
        spoken = language(locale.value)
        if spoken is ENGLISH or not is_said(context):
            return None
        return spoken.say(string.message)


def is_said(context: TranslationContextTypes) -> bool:
    """Whether a string is to be translated. A menu's entry is a sentence, although its name."""
    return context.location not in NAMES or isinstance(context.data, app_commands.ContextMenu)
