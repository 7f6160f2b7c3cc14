"""Sentences for people: made where their language is not known, and translated where it is.

A sentence is English with names in braces, as in `str.format`, and the values of those names:
strings, numbers, or sentences in turn. `str()` is the English; `bot.languages` has the others.
"""

from collections.abc import Mapping
from typing import Any


class Text:
    """A sentence and its values."""

    __slots__ = ("sentence", "values")

    def __init__(self, sentence: str, /, **values: Any) -> None:
        self.sentence = sentence
        self.values = values

    def __str__(self) -> str:
        return self.filled(self.sentence, {key: _english(v) for key, v in self.values.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(str(self))

    @staticmethod
    def filled(sentence: str, values: Mapping[str, object]) -> str:
        """`sentence` with its values filled in; without values, its braces are kept."""
        return sentence.format_map(values) if values else sentence

    def to_json(self) -> dict[str, Any]:
        """JSON-shaped, for a row of the store."""
        values = {k: v.to_json() if isinstance(v, Text) else v for k, v in self.values.items()}
        return {"say": self.sentence, "values": values}

    @staticmethod
    def from_json(told: Mapping[str, Any]) -> "Text":
        """What `to_json` wrote."""
        values: dict[str, Any] = {
            key: Text.from_json(value) if isinstance(value, Mapping) else value
            for key, value in told["values"].items()
        }
        sentence = told["say"]
        if (many := told.get("many")) is not None:
            return Counted(sentence, many, values.pop("n"), **values)
        return Text(sentence, **values)


class Counted(Text):
    """A sentence about `n` things, of which one has a form of its own; `{n}` is the number."""

    __slots__ = ("many",)

    def __init__(self, one: str, many: str, n: int, /, **values: Any) -> None:
        super().__init__(one, n=n, **values)
        self.many = many

    def __str__(self) -> str:
        sentence = self.sentence if self.values["n"] == 1 else self.many
        return self.filled(sentence, {key: _english(v) for key, v in self.values.items()})

    def to_json(self) -> dict[str, Any]:
        """JSON-shaped, for a row of the store."""
        return {**super().to_json(), "many": self.many}


def _english(value: object) -> object:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, Text) else value
