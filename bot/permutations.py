"""`{red, blue} star on {a hill, the sea}`: one prompt that stands for several. Pure.

Braces hold alternatives, parted by commas, and may hold braces in turn. An alternative may be
empty: `a {, dark} forest` is a forest and a dark forest. A backslash before a brace or a comma
makes it an ordinary character.
"""

import re
from dataclasses import dataclass, field

from pipelines.contract.errors import BadInput
from pipelines.contract.requests import clean_text
from pipelines.contract.text import Text


def _half(here: str, other: str) -> Text:
    return Text(
        "There is a {here} without its {other} in this prompt. Please add the {other}, or write "
        "{alone} for a brace that stands for itself.",
        here=here,
        other=other,
        alone=f"`\\{here}`",
    )


UNCLOSED, UNOPENED = _half("{", "}"), _half("}", "{")
_TOKEN = re.compile(r"\\[{},]|[{},]|[^\\{},]+|\\")


def literal(text: str) -> str:
    """The prompt that stands for `text` alone, whatever braces it has."""
    return re.sub(r"[{}]|(?<=\\),", r"\\\g<0>", text)


@dataclass(slots=True)
class _Group:
    """A pair of braces, or all of the prompt: what its alternatives stand for so far."""

    done: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=lambda: [""])

    def append(self, options: list[str]) -> None:
        """Go on with each of `options`."""
        self.current = [text + option for text in self.current for option in options]

    def part(self) -> None:
        """Begin another alternative."""
        self.done += self.current
        self.current = [""]


def permutations(prompt: str, most: int) -> list[str]:
    """The prompts that `prompt` stands for, each once, in the order of its alternatives.

    Raises BadInput for braces without their other half, and for more than `most` prompts.
    """
    groups = [_Group()]
    for token in _TOKEN.findall(prompt):
        if token == "{":
            groups.append(_Group())
        elif token == "}":
            _close(groups)
        elif token == "," and len(groups) > 1:
            groups[-1].part()
        else:
            groups[-1].append([token[1:] if len(token) == 2 and token[0] == "\\" else token])
        if max(len(groups[-1].current), len(groups[-1].done)) > most:
            if most == 1:
                raise BadInput(
                    "These braces stand for several prompts, and here there can be one at a time. "
                    "Please keep one of the alternatives."
                )
            raise BadInput(
                "These braces stand for more than {most} prompts, as many as you can ask for at "
                "once. Please leave some of the alternatives out.",
                most=most,
            )
    if len(groups) > 1:
        raise BadInput(UNCLOSED)
    return list(dict.fromkeys(clean_text(text) for text in groups[0].current))


def _close(groups: list[_Group]) -> None:
    """The innermost braces end, and what is around them goes on with each of their alternatives."""
    if len(groups) == 1:
        raise BadInput(UNOPENED)
    group = groups.pop()
    group.part()
    groups[-1].append(group.done)
