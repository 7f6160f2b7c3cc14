"""Every sentence that members can be told, as it stands in the code.

`python -m tests.sentences` (or `make languages`) adds the new ones to the catalogues, untranslated,
and takes out those that nobody says any more.
"""

import ast
import asyncio
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po
from discord import Locale as DiscordLocale
from discord.app_commands import TranslationContextTypes, locale_str

from bot.app import App
from bot.commands.translator import CommandTranslator, is_said
from bot.errors import StartupError
from bot.languages import FOLDER
from bot.web.sentences import sentences as of_page
from pipelines.contract.errors import AtelierError
from tests.integration.apps import light_config, light_executor
from tests.loopback.runner import Studio

ROOT = Path(__file__).parents[1]
TERMINAL = {
    "account",
    "cli",
    "config",
    "device",
    "doctor",
    "fetch",
    "measure",
    "render",
    "startup",
    "styles",
}
"""Modules of `bot` that talk to the owner only, in English."""
HEADER = """\
# Atelier in {name}.
msgid ""
msgstr ""
"Language: {tag}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"

"""


def sources() -> Iterator[Path]:
    """The modules whose sentences reach members."""
    for folder in ("bot", "pipelines"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.parent.name != "bot" or file.stem not in TERMINAL:
                yield file


def keywords() -> dict[str, tuple[int, ...] | None]:
    """The names that a sentence is given to, and which of their arguments are sentences."""
    for file in sources():  # an error is known by its class, and that by its module
        if file.stem != "__main__":
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    return {"say": None, "Text": None, "Counted": (1, 2), **dict.fromkeys(_errors(AtelierError))}


def _errors(above: type[AtelierError]) -> Iterator[str]:
    for error in above.__subclasses__():
        if error is not StartupError:  # which end the bot, on the owner's terminal
            yield error.__name__
            yield from _errors(error)


async def sentences() -> Catalog:
    """All of them, without translations."""
    catalogue = Catalog()
    for file in sources():
        place = file.relative_to(ROOT).as_posix()
        for line, message, _, _ in extract_from_file("python", file, keywords()):
            catalogue.add(message, locations=[(place, line)])
    for file, line, message in of_page():
        catalogue.add(message, locations=[(file.relative_to(ROOT).as_posix(), line)])
    for sentence, module in (await of_commands()).items():
        catalogue.add(sentence, locations=[(f"{module.replace('.', '/')}.py", 0)])
    return catalogue


class _Listener(CommandTranslator):
    """Notes what discord.py asks for."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.module = ""

    async def translate(
        self, string: locale_str, locale: DiscordLocale, context: TranslationContextTypes
    ) -> str | None:
        command = getattr(context.data, "command", context.data)  # of an option, or itself
        self.module = getattr(command, "module", self.module)  # a choice does not know its own
        if is_said(context):
            self.asked.setdefault(string.message, self.module)
        return await super().translate(string, locale, context)


async def of_commands() -> dict[str, str]:
    """What the real commands have to be translated, and the module of each."""
    listener = _Listener()
    await payloads(listener)
    return listener.asked


async def payloads(translator: CommandTranslator) -> list[dict[str, Any]]:
    """The commands as Discord is told of them."""
    with tempfile.TemporaryDirectory() as folder:
        app = await App.open(light_config(Path(folder)), executors=[light_executor(Studio())])
        try:
            tree = app.client.tree
            return [await c.get_translated_payload(tree, translator) for c in tree.get_commands()]
        finally:
            await app.close()


def put_together() -> Iterator[str]:
    """Where a sentence is made of pieces, so that no catalogue can hold it."""
    names = keywords()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or _name(node.func) not in names:
                continue
            given = node.args[: len(names[_name(node.func)] or (1,))]
            if any(isinstance(sentence, ast.JoinedStr | ast.BinOp) for sentence in given):
                yield f"{file.relative_to(ROOT)}:{node.lineno}"


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def read(tag: str) -> Catalog:
    """The catalogue of a language."""
    with (FOLDER / f"{tag}.po").open("rb") as file:
        return read_po(file, locale=tag, ignore_obsolete=True)


def write(tag: str, catalogue: Catalog) -> None:
    """Write a catalogue, its entries by where they stand."""
    name = Locale.parse(tag).english_name
    with (FOLDER / f"{tag}.po").open("wb") as file:
        header = HEADER.format(name=name, tag=tag, plural=catalogue.plural_forms)
        file.write(header.encode())
        write_po(
            file, catalogue, width=100, omit_header=True, sort_by_file=True, include_lineno=False
        )


def main() -> None:
    """Bring every catalogue up to date with the code."""
    template = asyncio.run(sentences())
    for file in FOLDER.glob("*.po"):
        catalogue = read(file.stem)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        write(file.stem, catalogue)


if __name__ == "__main__":
    main()
